package cli

import (
	"errors"
	"fmt"
)

// ExitFailure is the status for podbottle's own failures, as in podman-run(1);
// any other status is the agent's.
const ExitFailure = 125

// exitUsage is the status for a call without a command.
const exitUsage = 2

// ExitError ends the command with a status and, when Err is nil, without a message.
type ExitError struct {
	Code int
	Err  error
}

func (e *ExitError) Error() string {
	if e.Err != nil {
		return e.Err.Error()
	}
	return fmt.Sprintf("exit status %d", e.Code)
}

func (e *ExitError) Unwrap() error { return e.Err }

// exitCode maps the result of a command to the process's exit status and the
// message to print; the message is empty when there is none.
func exitCode(err error) (int, string) {
	if err == nil {
		return 0, ""
	}
	var exit *ExitError
	if errors.As(err, &exit) {
		if exit.Err == nil {
			return exit.Code, ""
		}
		return exit.Code, exit.Err.Error()
	}
	return ExitFailure, err.Error()
}
