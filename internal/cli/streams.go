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
}

// Interactive reports whether the user sits at a terminal that can both ask and answer.
func (s Streams) Interactive() bool {
	return term.IsTerminal(int(s.In.Fd())) && isTerminal(s.Err)
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
