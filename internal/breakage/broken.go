//go:build breakage

package breakage

import (
	"os"
	"slices"
	"strings"
)

// Variable names what is broken, separated by commas.
const Variable = "PODBOTTLE_BREAK"

// Has tells whether a thing is to be broken.
func Has(what string) bool { return slices.Contains(strings.Split(All(), ","), what) }

// All is everything that is to be broken, as Variable has it.
func All() string { return os.Getenv(Variable) }
