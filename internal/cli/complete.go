package cli

import (
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/podbottle/podbottle/internal/blueprint"
	"github.com/podbottle/podbottle/internal/bottle"
	"github.com/podbottle/podbottle/internal/gitgate"
	"github.com/podbottle/podbottle/internal/state"
	"github.com/podbottle/podbottle/internal/supervise"
	"github.com/podbottle/podbottle/internal/visible"
)

// What the shell completes. Nothing here prints but its candidates, so the launcher
// gets no streams; what cannot be found out is no candidate.

const noFiles = cobra.ShellCompDirectiveNoFileComp

func completeAgents(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, noFiles
	}
	return agentNames(), noFiles
}

func agentNames() []string {
	m, err := openManifests()
	if err != nil {
		return nil
	}
	return m.index.AgentNames()
}

// completeBottles are the bottles of the manifest.
func completeBottles(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	m, err := openManifests()
	if err != nil {
		return nil, noFiles
	}
	return m.index.Bottles(), noFiles
}

// completeSlug is one bottle that Podman holds.
func completeSlug(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, noFiles
	}
	return described(listed(cmd, false)), noFiles
}

// completeStop are the bottles that Podman holds and that are not named yet; with
// --discard those whose state is kept too.
func completeStop(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	discard, _ := cmd.Flags().GetBool("discard")
	bottles := slices.DeleteFunc(listed(cmd, discard), func(b bottle.Listed) bool { return slices.Contains(args, b.Slug) })
	return described(bottles), noFiles
}

// completeKept is one bottle to go on with.
func completeKept(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, noFiles
	}
	kept := slices.DeleteFunc(listed(cmd, true), func(b bottle.Listed) bool { return b.Status != "kept" && b.Status != "stopped" && b.Status != "stale" })
	return described(kept), noFiles
}

// completeTargets are the agents and the bottles that run.
func completeTargets(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, noFiles
	}
	return append(agentNames(), described(listed(cmd, false))...), noFiles
}

// completeCopy completes the bottles; paths of this machine are the shell's.
func completeCopy(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 1 {
		return nil, noFiles
	}
	var ends []string
	for _, b := range listed(cmd, true) {
		ends = append(ends, b.Slug+":")
	}
	return ends, cobra.ShellCompDirectiveNoSpace
}

// listed are the bottles of podbottle list; with all those of list --all.
func listed(cmd *cobra.Command, all bool) []bottle.Listed {
	l, err := newLauncher(Streams{})
	if err != nil {
		return nil
	}
	bottles, err := l.List(cmd.Context(), all)
	if err != nil {
		return nil
	}
	return bottles
}

// described are slugs with what shells show beside them.
func described(bottles []bottle.Listed) []string {
	names := make([]string, 0, len(bottles))
	for _, b := range bottles {
		names = append(names, b.Slug+"\t"+visible.String(b.Agent+", "+b.Status))
	}
	return names
}

// completeStates is one bottle that has state, for what asks Podman nothing.
func completeStates(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, noFiles
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, noFiles
	}
	root, err := state.Root(os.LookupEnv, home)
	if err != nil {
		return nil, noFiles
	}
	slugs, err := state.List(root)
	if err != nil {
		return nil, noFiles
	}
	return slugs, noFiles
}

// completeGit is SLUG allow ID.
func completeGit(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	switch len(args) {
	case 0:
		return completeStates(cmd, args, word)
	case 1:
		return []string{"allow"}, noFiles
	case 2:
		return refusedPushes(args[0]), noFiles
	}
	return nil, noFiles
}

// refusedPushes are those of a bottle that were not let through.
func refusedPushes(name string) []string {
	d, err := gitGateOf(name)
	if err != nil {
		return nil
	}
	refusals, err := gitgate.Refusals(d.state)
	if err != nil {
		return nil
	}
	var ids []string
	for _, r := range refusals {
		if r.State() == "refused" {
			ids = append(ids, r.ID+"\t"+newRefusalRow(r).Why)
		}
	}
	return ids
}

// completeProposals is one proposal that waits.
func completeProposals(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	l, err := newLauncher(Streams{})
	if err != nil || len(args) > 0 {
		return nil, noFiles
	}
	bottles, err := l.Supervised()
	if err != nil {
		return nil, noFiles
	}
	entries, _ := supervise.Collect(bottles, false)
	ids := make([]string, 0, len(entries))
	for _, e := range entries {
		ids = append(ids, e.Proposal.ShortID()+"\t"+e.Proposal.Asks())
	}
	return ids, noFiles
}

// completeInstalled is one bottle of systemd.
func completeInstalled(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	l, err := newLauncher(Streams{})
	if err != nil || len(args) > 0 {
		return nil, noFiles
	}
	return l.InstalledNames(), noFiles
}

func completeServices(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{
		string(blueprint.Agent), string(blueprint.Egress), string(blueprint.Pipelock), string(blueprint.GitGate), string(blueprint.Supervise),
	}, noFiles
}

func completeOnApproval(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"deny", "wait="}, noFiles | cobra.ShellCompDirectiveNoSpace
}
