package cli

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"github.com/podbottle/podbottle/internal/bottle"
	"github.com/podbottle/podbottle/internal/exitstatus"
)

// ExitFailure is the status for podbottle's own failures, as in podman-run(1);
// any other status is the agent's.
const ExitFailure = 125

// exitSignal and a signal's number are the status of a program that the signal ended,
// as shells have it.
const exitSignal = 128

// exitUsage is the status for a call without a command.
const exitUsage = 2

// closedOutput tells whether a command failed only since nobody reads its standard
// output any more, as in podbottle list | head -1. Programs are silent about that. An
// error that was joined with others has more to say.
func closedOutput(err error) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		if path, ok := err.(*fs.PathError); ok { //nolint:errorlint // errors.As would also find it among joined errors, and the others of those are to be said
			return path.Path == os.Stdout.Name() && errors.Is(path.Err, syscall.EPIPE)
		}
	}
	return false
}

// exitCode maps the result of a command to the process's exit status and the
// message to print; the message is empty when there is none.
func exitCode(err error) (int, string) {
	if err == nil {
		return 0, ""
	}
	if closedOutput(err) {
		return exitSignal + int(syscall.SIGPIPE), ""
	}
	var exit *exitstatus.Error
	if errors.As(err, &exit) {
		if exit.Err == nil {
			return exit.Code, ""
		}
		return exit.Code, exit.Err.Error()
	}
	var interrupted bottle.SignalError
	if errors.As(err, &interrupted) {
		return exitSignal + int(interrupted.Signal), err.Error()
	}
	return ExitFailure, err.Error()
}
