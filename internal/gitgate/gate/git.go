package gate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/podbottle/podbottle/internal/visible"
)

// searchPath is where git and ssh are looked for, in the image and outside.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// killDelay is how long a stopped git may take to let go of its pipes.
const killDelay = time.Second

// baseEnv is the whole environment of every git: nothing of the process's own, no
// configuration but the mirror's, no prompt, no object in another's place
// (git-replace(1)), and no transport but the one that the dialer guards.
func baseEnv(home string) []string {
	return []string{
		"PATH=" + searchPath, "HOME=" + home, "LC_ALL=C", "SHELL=/bin/sh",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_ATTR_NOSYSTEM=1",
		// Only the environment and the system's configuration are believed here. The
		// mirrors are the gate's own, also when it ran as another uid before.
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
		"GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "SSH_ASKPASS=", "GIT_NO_REPLACE_OBJECTS=1", "GIT_NO_LAZY_FETCH=1",
		"GIT_ALLOW_PROTOCOL=ssh", "GIT_PROTOCOL_FROM_USER=0", "GIT_ADVICE=0",
	}
}

// git runs git in one mirror.
type git struct {
	dir string // GIT_DIR
	env []string
}

// command makes a git that ends with its whole process group when ctx does.
func (g git) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = g.dir
	cmd.Env = append(g.env[:len(g.env):len(g.env)], "GIT_DIR="+g.dir)
	inOwnGroup(cmd)
	return cmd
}

// inOwnGroup lets the command's context end all that the command started.
func inOwnGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = killDelay
}

// output runs git and returns what it prints. The error is a *gitError when git failed.
func (g git) output(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
	cmd := g.command(ctx, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.Bytes(), newGitError(ctx, args[0], err, stderr.String())
	}
	return stdout.Bytes(), nil
}

// gitError is a git that failed, with what it said.
type gitError struct {
	verb   string
	err    error
	stderr string
}

func newGitError(ctx context.Context, verb string, err error, stderr string) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return &gitError{verb: verb, err: err, stderr: stderr}
}

func (e *gitError) Error() string {
	if said := essence(e.stderr); said != "" {
		return said
	}
	return fmt.Sprintf("git %s: %v", e.verb, e.err)
}

func (e *gitError) Unwrap() error { return e.err }

// exited reports whether git ended by itself with that status.
func exited(err error, status int) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.ExitCode() == status
}

// maxSaid bounds what is passed on of a message.
const maxSaid = 400

// boilerplate is what git and ssh add to every failure of a connection.
var boilerplate = []string{
	"Could not read from remote repository.",
	"Please make sure you have the correct access rights",
	"and the repository exists.",
}

// essence makes one visible line of what git and ssh printed, without prefixes and
// advice. A changed host key is said in our words, since ssh's advice is for people
// who may change known_hosts.
func essence(stderr string) string {
	if strings.Contains(stderr, "Host key verification failed") {
		return "the host's key is not the one that is pinned; compare KnownHostKey in the bottle with what ssh-keyscan prints"
	}
	var said []string
	for _, line := range visible.Lines(stderr) {
		line = strings.TrimSpace(line)
		for _, prefix := range []string{"fatal: ", "error: ", "ERROR: "} {
			line = strings.TrimPrefix(line, prefix)
		}
		known := line == ""
		for _, b := range boilerplate {
			known = known || line == b
		}
		if !known && len(said) < 6 {
			said = append(said, line)
		}
	}
	return truncate(strings.Join(said, "; "), maxSaid)
}

func truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
