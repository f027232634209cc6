//go:build e2e

package e2e

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// commandTimeout ends a command that hangs, unless it says how long it may take. No
// machine is so busy that one which works gets near to it.
const commandTimeout = 10 * time.Minute

// command is a program to run. The zero value of every field but argv will do.
type command struct {
	argv  []string
	env   []string // NAME=VALUE, added to the environment of the tests
	dir   string   // empty: the tests' own
	stdin string
	// timeout is how long it may take; zero: commandTimeout.
	timeout time.Duration
}

// result is what a finished command left.
type result struct {
	stdout, stderr string
	status         int
}

// run runs the command to its end. That it could not be started, or hung, fails
// the test; its exit status is the caller's to judge.
func (c command) run(t testing.TB) result {
	t.Helper()
	return c.start(t).wait()
}

// running is a command that runs while the test does something else.
type running struct {
	t              testing.TB
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
	done           chan struct{}
	err            error // of its end; nil for any exit status
}

// start starts the command. The test does not end before it: one that still runs then
// is told to end, so that it does nothing to the host while another test looks at it.
func (c command) start(t testing.TB) *running {
	t.Helper()
	// The context of a test is done when its cleanup begins, which runs commands too.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), cmp.Or(c.timeout, commandTimeout))
	r := &running{t: t, cmd: exec.CommandContext(ctx, c.argv[0], c.argv[1:]...), done: make(chan struct{})}
	r.cmd.Env = append(os.Environ(), c.env...)
	r.cmd.Dir = c.dir
	r.cmd.Stdin = strings.NewReader(c.stdin)
	r.cmd.Stdout, r.cmd.Stderr = &r.stdout, &r.stderr
	// A grandchild that keeps the output open must not keep the test waiting.
	r.cmd.WaitDelay = 30 * time.Second
	if err := r.cmd.Start(); err != nil {
		cancel()
		t.Fatalf("%v: %v", c.argv, err)
	}
	go func() {
		defer close(r.done)
		defer cancel()
		exit := (*exec.ExitError)(nil)
		if err := r.cmd.Wait(); ctx.Err() != nil {
			r.err = fmt.Errorf("it hangs: %w", ctx.Err())
		} else if !errors.As(err, &exit) {
			r.err = err
		}
	}()
	t.Cleanup(func() {
		if r.ended() {
			return
		}
		_ = r.cmd.Process.Signal(syscall.SIGTERM)
		<-r.done // the context sees to it
	})
	return r
}

func (r *running) pid() int { return r.cmd.Process.Pid }

func (r *running) ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// wait waits for the end and returns what the command left; a status of -1 is the
// end by a signal. Only the test's own goroutine may call it.
func (r *running) wait() result {
	r.t.Helper()
	<-r.done
	if r.err != nil {
		r.t.Fatalf("%s: %v\n%s%s", strings.Join(r.cmd.Args, " "), r.err, &r.stdout, &r.stderr)
	}
	return result{stdout: r.stdout.String(), stderr: r.stderr.String(), status: r.cmd.ProcessState.ExitCode()}
}

// succeed runs the command, fails the test unless its status is 0, and returns
// what it printed without the last newline.
func (c command) succeed(t testing.TB) string {
	t.Helper()
	r := c.run(t)
	if r.status != 0 {
		t.Fatalf("%s: status %d\n%s%s", strings.Join(c.argv, " "), r.status, r.stdout, r.stderr)
	}
	return strings.TrimSuffix(r.stdout, "\n")
}

// podman runs the podman command line, which must succeed.
func podman(t testing.TB, args ...string) string {
	t.Helper()
	return command{argv: append([]string{"podman"}, args...)}.succeed(t)
}
