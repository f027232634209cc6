package bottle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/podbottle/podbottle/internal/blueprint"
	"github.com/podbottle/podbottle/internal/pod"
	"github.com/podbottle/podbottle/internal/visible"
)

// Attach comes back to the terminal of a running bottle and sees its session to
// the end, or to the next detaching.
func (l *Launcher) Attach(ctx context.Context, name string) (int, error) {
	client, err := pod.Connect(ctx)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	found, err := l.find(ctx, client, name)
	if err != nil {
		return 0, err
	}
	slug := found.Slug
	if found.Status == "stopped" {
		return 0, fmt.Errorf("the agent of %s has ended; see what it said with podbottle logs %s, and take it down with podbottle stop %s", slug, slug, slug)
	}
	terminal, err := client.HasTerminal(ctx, found.Container)
	if err != nil {
		return 0, err
	}
	attachment, err := client.Attach(ctx, found.Container, terminal, pod.IO{In: l.In, Out: l.Out, Err: l.Err})
	if err != nil {
		return 0, err
	}
	recipe := l.recipe(slug)
	code, err := attachment.Run(ctx)
	if ctx.Err() != nil {
		// The bottle was left to itself before; a closed window leaves it to itself again.
		return interrupted(ctx), fmt.Errorf("%w; the bottle %s goes on", context.Cause(ctx), slug)
	}
	if l.OwnedBySystemd(slug) && !errors.Is(err, pod.ErrDetached) && l.recipe(slug) != recipe {
		fmt.Fprintf(l.Err, "\nA human approved another image for %s, so systemd starts it again. Come back with: podbottle attach %s\n", slug, slug)
		return ExitRebuild, nil
	}
	return l.sessionEnd(ctx, slug, code, err)
}

// Exec runs a command beside the agent, with the agent's environment.
func (l *Launcher) Exec(ctx context.Context, name string, command []string) (int, error) {
	client, err := pod.Connect(ctx)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	found, err := l.find(ctx, client, name)
	if err != nil {
		return 0, err
	}
	argv := append([]string{blueprint.Handover, "handover", "--exec", "--"}, command...)
	code, err := client.Exec(ctx, found.Container, argv, l.Terminal, pod.IO{In: l.In, Out: l.Out, Err: l.Err})
	switch {
	case errors.Is(err, pod.ErrDetached):
		return 0, nil
	case ctx.Err() != nil:
		return interrupted(ctx), context.Cause(ctx)
	}
	return code, err
}

// Logs copies what a service of the bottle printed. Unless raw, its control
// characters are made visible on a terminal.
func (l *Launcher) Logs(ctx context.Context, name, service string, r pod.LogRange, raw bool) error {
	client, err := pod.Connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	found, err := l.find(ctx, client, name)
	if err != nil {
		return err
	}
	if _, ok := found.Services[service]; !ok {
		return fmt.Errorf("bottle %s has no service %s; it has %s", found.Slug, service, found.ServiceNames())
	}
	container := "bot-bottle-" + found.Slug + "-" + service
	if service == string(blueprint.Agent) {
		container = found.Container
	}
	out, errs := l.Out, l.Err
	if !raw {
		out, errs = visibleWriter{out}, visibleWriter{errs}
	}
	return client.Logs(ctx, container, r, out, errs)
}

// visibleWriter makes control characters visible, line by line as logs arrive.
type visibleWriter struct{ w io.Writer }

func (v visibleWriter) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		text, newline := strings.CutSuffix(line, "\n")
		text = visible.String(strings.TrimSuffix(text, "\r"))
		if newline {
			text += "\n"
		}
		if _, err := io.WriteString(v.w, text); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}
