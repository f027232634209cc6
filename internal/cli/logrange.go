package cli

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/containers/podman/v5/pkg/util"
)

// maxTail is how many lines --tail can ask for: Podman's API service makes room for
// as many before it reads the first.
const maxTail = 1_000_000

// tailLines is the value of --tail, as podman logs has it: a number of lines, or -1
// for all. It implements pflag.Value.
type tailLines struct{ value *string }

func (t tailLines) String() string {
	if t.value == nil { // pflag asks a zero value for its default
		return ""
	}
	return *t.value
}

func (t tailLines) Set(text string) error {
	n, err := strconv.Atoi(text)
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange), n < -1:
		return errors.New("it is a number of lines, or -1 for all")
	case n > maxTail:
		return fmt.Errorf("it is at most %d lines, or -1 for all", maxTail)
	case n == -1:
		*t.value = ""
	default:
		*t.value = strconv.Itoa(n)
	}
	return nil
}

func (tailLines) Type() string { return "int" }

// sinceTime is the value of --since, as podman logs has it: a time, Unix seconds or a
// duration before now. It implements pflag.Value.
type sinceTime struct{ value *time.Time }

func (s sinceTime) String() string {
	if s.value == nil || s.value.IsZero() {
		return ""
	}
	return s.value.Format(time.RFC3339)
}

func (s sinceTime) Set(text string) error {
	at, err := util.ParseInputTime(text, true)
	// Seconds of any size, and such as are no number, are a time for Podman.
	if err != nil || at.Year() < 1 || at.Year() > 9999 {
		return errors.New("it is a duration before now such as 10m, a time such as 2026-01-31T08:00:00Z, or Unix seconds")
	}
	if at.After(time.Now()) {
		return errors.New("that time is still to come")
	}
	*s.value = at
	return nil
}

func (sinceTime) Type() string { return "time" }
