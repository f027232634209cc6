// Package quiet keeps bubbletea from asking the terminal for its background colour
// in every command of podbottle: its package initialisation writes a query and reads
// the answer from what the user types. termenv asks nothing where CI is set, so it is,
// until the interface's own package is initialised.
//
// Go initialises the packages that are ready in the order of their import paths
// (language specification, "Program initialization"). This package needs os alone, and
// bubbletea needs some whose paths come after it, so this one is always first.
package quiet

import "os"

var before, was = os.LookupEnv("CI")

func init() { _ = os.Setenv("CI", "true") }

// Restore gives the environment back.
func Restore() {
	if was {
		_ = os.Setenv("CI", before)
		return
	}
	_ = os.Unsetenv("CI")
}
