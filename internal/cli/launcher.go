package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/podbottle/podbottle/internal/bottle"
	"github.com/podbottle/podbottle/internal/config"
	"github.com/podbottle/podbottle/internal/progress"
	"github.com/podbottle/podbottle/internal/secret"
	"github.com/podbottle/podbottle/internal/state"
)

// newLauncher reads the user's configuration and ties the launcher to the streams.
func newLauncher(s Streams) (*bottle.Launcher, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, fmt.Errorf("%w; set it to your home directory", err)
	}
	cwd, err := os.Getwd()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errors.New("the working directory is not there any more; change to one that is")
	case err != nil:
		return nil, err
	}
	root, err := state.Root(os.LookupEnv, home)
	if err != nil {
		return nil, err
	}
	conf, err := config.Load(root)
	if err != nil {
		return nil, err
	}
	return &bottle.Launcher{
		Root: root, Home: home, Cwd: cwd, Lookup: os.LookupEnv, Config: conf,
		In: s.In, Out: s.Out, Err: s.Err, Interactive: s.Interactive(), Terminal: s.Terminal(),
		Ask: s.ask, AskSecret: s.askSecret,
		Progress: progress.New(s.Err),
	}, nil
}

// withLauncher is a command's RunE that needs the launcher.
func withLauncher(s Streams, run func(ctx context.Context, l *bottle.Launcher, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		l, err := newLauncher(s)
		if err != nil {
			return err
		}
		return run(cmd.Context(), l, args)
	}
}

// ask prints a question on standard error and reads one line.
func (s Streams) ask(question string) (string, error) {
	fmt.Fprint(s.Err, question)
	return s.await(func() (string, error) {
		line, err := bufio.NewReader(s.In).ReadString('\n')
		switch {
		case line != "":
			return strings.TrimSpace(line), nil
		case errors.Is(err, io.EOF):
			fmt.Fprintln(s.Err) // ends the question's line
			return "", errNoAnswer
		}
		return "", err
	})
}

// askSecret reads a value without showing it.
func (s Streams) askSecret(name, question string) (secret.Value, error) {
	if question == "" {
		question = "Value for " + name
	}
	fd := int(s.In.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return secret.Value{}, fmt.Errorf("env entry %s: %w", name, err)
	}
	fmt.Fprint(s.Err, question+": ")
	text, err := s.await(func() (string, error) {
		text, err := term.ReadPassword(fd)
		return string(text), err
	})
	// Where a signal cut the reading short, the terminal still hides what is typed.
	err = errors.Join(err, term.Restore(fd, before))
	fmt.Fprintln(s.Err)
	if err != nil {
		return secret.Value{}, fmt.Errorf("env entry %s: %w", name, err)
	}
	return secret.New(text), nil
}

// errNoAnswer says that the input ended instead of an answer.
var errNoAnswer = errors.New("no answer was given")

// errInterrupted says that a signal came instead of an answer.
var errInterrupted = errors.New("interrupted")

// await reads an answer, unless a signal comes first.
func (s Streams) await(read func() (string, error)) (string, error) {
	type answer struct {
		text string
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		text, err := read()
		answers <- answer{text, err}
	}()
	select {
	case a := <-answers:
		return a.text, a.err
	case <-s.Done:
		fmt.Fprintln(s.Err)
		return "", errInterrupted
	}
}
