package cli

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"
)

// exactArgs is cobra.ExactArgs with a message that says what is wanted. None of the
// arguments is empty, such as a variable of a script that was never set.
func exactArgs(n int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != n {
			return fmt.Errorf("wanted %s", what)
		}
		return noneEmpty(args, what)
	}
}

// atLeast is cobra.MinimumNArgs with a message that says what is wanted. The first
// argument is not empty.
func atLeast(n int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < n {
			return fmt.Errorf("wanted %s", what)
		}
		return noneEmpty(args[:1], what)
	}
}

// atMostOne is cobra.MaximumNArgs(1) with a message that says what is wanted. The
// argument is not empty.
func atMostOne(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > 1 {
			return fmt.Errorf("wanted %s, or nothing", what)
		}
		return noneEmpty(args, what)
	}
}

// noArgs is cobra.NoArgs with a message that does not take the argument for a command.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no argument, and %q was given", cmd.CommandPath(), args[0])
	}
	return nil
}

func noneEmpty(args []string, what string) error {
	if slices.Contains(args, "") {
		return fmt.Errorf("an argument is empty; wanted %s", what)
	}
	return nil
}
