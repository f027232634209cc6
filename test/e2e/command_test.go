//go:build e2e

package e2e

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// commandTimeout ends a command that hangs, unless it says how long it may take.
const commandTimeout = 2 * time.Minute

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
	// The context of a test is done when its cleanup begins, which runs commands too.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), cmp.Or(c.timeout, commandTimeout))
	defer cancel()
	cmd := exec.CommandContext(ctx, c.argv[0], c.argv[1:]...)
	cmd.Env = append(os.Environ(), c.env...)
	cmd.Dir = c.dir
	cmd.Stdin = strings.NewReader(c.stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// A grandchild that keeps the output open must not keep the test waiting.
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("%s: %v (%v)\n%s%s", strings.Join(c.argv, " "), err, ctx.Err(), &stdout, &stderr)
	}
	return result{stdout: stdout.String(), stderr: stderr.String(), status: cmd.ProcessState.ExitCode()}
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
