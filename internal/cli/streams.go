package cli

import (
	"io"
	"os"

	"golang.org/x/term"
)

// Streams are the standard streams of one invocation.
type Streams struct {
	In  *os.File
	Out io.Writer
	Err io.Writer
	// Done is closed when a signal has ended the invocation; a question waits no longer then.
	Done <-chan struct{}
}

// Interactive reports whether the user sits at a terminal that can both ask and answer.
func (s Streams) Interactive() bool {
	return term.IsTerminal(int(s.In.Fd())) && isTerminal(s.Err)
}

// Terminal reports whether a program can have the user's terminal as its own:
// its output must not go elsewhere.
func (s Streams) Terminal() bool { return s.Interactive() && isTerminal(s.Out) }

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
