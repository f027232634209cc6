package pod

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"golang.org/x/sync/errgroup"
)

// LogRange says which part of a log is wanted. The zero value is all that there is.
type LogRange struct {
	Follow bool      // and what is said from now on
	Tail   string    // at most this many lines of the end, in decimal; empty for all
	Since  time.Time // nothing that was said before; zero for all
}

// Logs copies what a container said.
func (c *Client) Logs(ctx context.Context, name string, r LogRange, stdout, stderr io.Writer) error {
	options := new(containers.LogOptions).WithStdout(true).WithStderr(true).WithFollow(r.Follow)
	if r.Tail != "" {
		options = options.WithTail(r.Tail)
	}
	if !r.Since.IsZero() {
		options = options.WithSince(r.Since.Format(time.RFC3339Nano))
	}
	out, errs := make(chan string), make(chan string)
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(out)
		defer close(errs)
		return containers.Logs(c.with(gctx), name, options, out, errs)
	})
	group.Go(func() error { return writeLines(stdout, out) })
	group.Go(func() error { return writeLines(stderr, errs) })
	if err := group.Wait(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("container %s: logs: %w", name, err)
	}
	return nil
}

// writeLines drains the channel to its end even when w fails: the sender would hang.
func writeLines(w io.Writer, lines <-chan string) error {
	var failed error
	for line := range lines {
		if failed == nil {
			_, failed = io.WriteString(w, line)
		}
	}
	return failed
}

// lastWords are the last lines of a container's log, for an error message.
func (c *Client) lastWords(ctx context.Context, name string) string {
	var text strings.Builder
	if err := c.Logs(ctx, name, LogRange{Tail: "5"}, &text, &text); err != nil || text.Len() == 0 {
		return "it said nothing; see podbottle logs"
	}
	return strings.TrimSpace(text.String())
}
