// Package progress tells the user which step is under way: a spinner on a
// terminal, one plain line a step elsewhere. It writes to standard error only.
package progress

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/briandowns/spinner"
	"golang.org/x/term"

	"github.com/podbottle/podbottle/internal/visible"
)

// Status shows steps, one after the other.
type Status struct {
	w    io.Writer
	spin *spinner.Spinner // nil without a terminal
	dull bool             // text is not passed through

	mu sync.Mutex
}

// New shows steps on w, as a spinner if w is a terminal.
func New(w io.Writer) *Status {
	s := &Status{w: w}
	if file, ok := w.(*os.File); ok && term.IsTerminal(int(file.Fd())) && os.Getenv("TERM") != "dumb" {
		s.spin = spinner.New(spinner.CharSets[14], 100*time.Millisecond, spinner.WithWriterFile(file))
	}
	return s
}

// Steps shows only which steps there were, for where text that passes through would be
// read by nobody, or too late.
func Steps(w io.Writer) *Status { return &Status{w: w, dull: true} }

// Shown tells whether what is written to Writer is shown.
func (s *Status) Shown() bool { return !s.dull }

// Step starts a step and returns what ends it.
func (s *Status) Step(name string) func(error) {
	start := time.Now()
	s.mu.Lock()
	if s.spin != nil {
		s.spin.Suffix = " " + name
		s.spin.Start()
	}
	s.mu.Unlock()
	return func(err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.spin != nil {
			s.spin.Stop()
		}
		mark := "✓"
		if err != nil {
			mark = "✗"
		}
		fmt.Fprintf(s.w, " %s %s (%s)\n", mark, name, round(time.Since(start)))
	}
}

// Writer passes text, such as a builder's output, through while a step runs.
func (s *Status) Writer() io.Writer {
	if s.dull {
		return io.Discard
	}
	return lines{s}
}

type lines struct{ s *Status }

func (l lines) Write(p []byte) (int, error) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	if l.s.spin != nil && l.s.spin.Active() {
		l.s.spin.Stop()
		defer l.s.spin.Start()
	}
	// A builder's output is the image's, and a puller's the registry's.
	for line := range strings.Lines(string(p)) {
		text, newline := strings.CutSuffix(line, "\n")
		text = visible.String(strings.TrimSuffix(text, "\r"))
		if newline {
			text += "\n"
		}
		if _, err := io.WriteString(l.s.w, text); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// round keeps what a reader wants to know of a duration.
func round(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(100 * time.Millisecond)
}
