// Package exitstatus carries the status with which a program is to end.
package exitstatus

import "fmt"

// Error ends the program with a status and, when Err is nil, without a message.
type Error struct {
	Code int
	Err  error
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.Err.Error()
	}
	return fmt.Sprintf("exit status %d", e.Code)
}

func (e *Error) Unwrap() error { return e.Err }
