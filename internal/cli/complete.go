package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/podbottle/podbottle/internal/manifest"
)

// atLeast is cobra.MinimumNArgs with a message that says what is wanted.
func atLeast(n int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < n {
			return fmt.Errorf("wanted %s", what)
		}
		return nil
	}
}

// Completion prints nothing but its candidates: it gets no streams.
func completeAgents(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	l, err := newLauncher(Streams{})
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	index, err := manifest.Open(l.Root, l.Cwd)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return index.AgentNames(), cobra.ShellCompDirectiveNoFileComp
}

func completeSlugs(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return slugs(cmd, false), cobra.ShellCompDirectiveNoFileComp
}

func completeKept(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return slugs(cmd, true), cobra.ShellCompDirectiveNoFileComp
}

// completeCopy completes the bottles; paths of this machine are the shell's.
func completeCopy(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 1 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names := slugs(cmd, true)
	for i := range names {
		names[i] += ":"
	}
	return names, cobra.ShellCompDirectiveNoSpace
}

func slugs(cmd *cobra.Command, all bool) []string {
	l, err := newLauncher(Streams{})
	if err != nil {
		return nil
	}
	bottles, err := l.List(cmd.Context(), all)
	if err != nil {
		return nil
	}
	names := make([]string, 0, len(bottles))
	for _, b := range bottles {
		names = append(names, b.Slug)
	}
	return names
}
