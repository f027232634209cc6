package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/podbottle/podbottle/internal/bottle"
	"github.com/podbottle/podbottle/internal/pipelock"
)

// choice is a flag's value that is one of a few words, or empty for the default. It
// implements pflag.Value.
type choice struct {
	value *string
	words []string
}

func (c choice) String() string {
	if c.value == nil {
		return "" // pflag asks a zero value for its default
	}
	return *c.value
}

func (c choice) Set(word string) error {
	if word != "" && !slices.Contains(c.words, word) {
		return fmt.Errorf("it can be %s", enumerate(c.words))
	}
	*c.value = word
	return nil
}

func (choice) Type() string { return "string" }

// choose adds a flag that takes one of a few words, which the shell completes.
func choose(cmd *cobra.Command, value *string, name, fallback, usage string, words ...string) {
	*value = fallback
	cmd.Flags().Var(choice{value, words}, name, usage)
	complete(cmd, name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

// complete says what the shell completes a flag's value with.
func complete(cmd *cobra.Command, flag string, f cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err) // there is no such flag, or it is registered twice
	}
}

// enumerate is "a", "a or b", "a, b or c".
func enumerate(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// Flags that several commands have.

func chooseRuntime(cmd *cobra.Command, value *string) {
	choose(cmd, value, "runtime", "", "run the agent under runsc or crun (default: runsc where the host has it)", bottle.RuntimeRunsc, bottle.RuntimeCrun)
}

func chooseFirewall(cmd *cobra.Command, value *string, usage string) {
	choose(cmd, value, "firewall", "", usage, string(pipelock.EnginePipelock), string(pipelock.EngineBuiltin))
}

// firewallUsage is the usage of --firewall where a bottle is made.
const firewallUsage = "firewall behind egress: pipelock or builtin (default: config.yaml, else pipelock)"

func chooseAgentFrom(cmd *cobra.Command, value *string, usage string) {
	choose(cmd, value, "agent-from", "", usage, "home", "cwd")
}

// addBottles adds --bottle, which names bottles of the manifest.
func addBottles(cmd *cobra.Command, value *[]string) {
	cmd.Flags().StringArrayVar(value, "bottle", nil, "bottle for an agent that names none; repeat to merge several, in order")
	complete(cmd, "bottle", completeBottles)
}

// addTableFormat adds --format to a command that prints a table of rows.
func addTableFormat(cmd *cobra.Command, value *string) {
	cmd.Flags().StringVar(value, "format", "", "json, or a Go template as in podman ps")
	complete(cmd, "format", cobra.FixedCompletions([]string{"json"}, cobra.ShellCompDirectiveNoFileComp))
}

// chooseJSON adds --format to a command whose output is json or for people.
func chooseJSON(cmd *cobra.Command, value *string, usage string) {
	choose(cmd, value, "format", "", usage, "json")
}

// agentFromUsage is the usage of --agent-from where a bottle is made.
const agentFromUsage = "home or cwd: where an agent that both have comes from (default home)"
