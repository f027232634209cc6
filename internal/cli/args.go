package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

// exactArgs is cobra.ExactArgs with a message that says what is wanted.
func exactArgs(n int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != n {
			return fmt.Errorf("wanted %s", what)
		}
		return nil
	}
}

// atLeast is cobra.MinimumNArgs with a message that says what is wanted.
func atLeast(n int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < n {
			return fmt.Errorf("wanted %s", what)
		}
		return nil
	}
}

// atMostOne is cobra.MaximumNArgs(1) with a message that says what is wanted.
func atMostOne(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > 1 {
			return fmt.Errorf("wanted %s, or nothing", what)
		}
		return nil
	}
}
