package handover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/podbottle/podbottle/internal/exitstatus"
)

// Statuses of a command that was not run, as shells and podman-exec(1) have them.
const (
	statusCannotRun = 126
	statusNotFound  = 127
)

// notRun is the error for a program that cannot be run: with the status that says why
// where it is a command beside the agent.
func notRun(name string, err error) error {
	code := statusCannotRun
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		code = statusNotFound
	}
	// Both have the name again.
	if e := (*exec.Error)(nil); errors.As(err, &e) {
		err = e.Err
	}
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		err = e.Err
	}
	return &exitstatus.Error{Code: code, Err: fmt.Errorf("the image has no program %s: %w", name, err)}
}

// How long input is still read once the command has ended and its input has not: as
// long as more comes, within a limit. Nobody waits for input that comes later.
const (
	drainQuiet = 50 * time.Millisecond
	drainLimit = 2 * time.Second
)

// runBeside runs a command on a pipe of its own, passes stdin on to it, and returns
// its exit status.
//
// Podman's API ends the whole connection when it cannot write to the command any more,
// and with it goes the output that is under way (seen on 5.4.2: a third of the tries
// with a command that does not read what is piped to it). So stdin is read here until
// it ends, whatever the command does with its own. The end of ctx asks the command to
// end.
func runBeside(ctx context.Context, program string, argv, env []string, stdin io.Reader) (int, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, program) // #nosec G204 -- this is what the program is for
	cmd.Args, cmd.Env = argv, env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = reader, os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	err = cmd.Start()
	_ = reader.Close()
	if err != nil {
		_ = writer.Close()
		return 0, notRun(argv[0], err)
	}
	var read atomic.Int64
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		counted := io.TeeReader(stdin, counter{&read})
		_, _ = io.Copy(writer, counted)
		_ = writer.Close()
		_, _ = io.Copy(io.Discard, counted)
	}()
	if err := cmd.Wait(); cmd.ProcessState == nil {
		return 0, err
	}
	awaitQuiet(drained, &read)
	return exitStatus(cmd.ProcessState.Sys().(syscall.WaitStatus)), nil
}

// counter counts what is written to it.
type counter struct{ n *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

// awaitQuiet waits until the input has ended, or nothing comes any more.
func awaitQuiet(ended <-chan struct{}, read *atomic.Int64) {
	limit := time.After(drainLimit)
	for last := int64(-1); last != read.Load(); {
		last = read.Load()
		select {
		case <-ended:
			return
		case <-limit:
			return
		case <-time.After(drainQuiet):
		}
	}
}

// exitStatus is a process's as shells have it.
func exitStatus(s syscall.WaitStatus) int {
	const base = 128
	if s.Signaled() {
		return base + int(s.Signal())
	}
	return s.ExitStatus()
}
