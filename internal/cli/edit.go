package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/spf13/cobra"

	"github.com/podbottle/podbottle/internal/bottle"
	"github.com/podbottle/podbottle/internal/manifest"
	"github.com/podbottle/podbottle/internal/resolve"
)

func newEdit(s Streams) *cobra.Command {
	var agent agentFlags
	var editBottle bool
	cmd := &cobra.Command{
		Use:   "edit AGENT",
		Short: "Open an agent's file, or its bottle's, in $VISUAL or $EDITOR and check it afterwards",
		Example: `  podbottle edit fixer
  podbottle edit fixer --edit-bottle`,
		Args:              exactArgs(1, "the name of one agent; podbottle list --agents shows those there are"),
		ValidArgsFunction: completeAgents,
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := openManifests()
			if err != nil {
				return err
			}
			m.warn(s)
			spec := agent.spec(args[0], m.cwd)
			file, err := fileToEdit(m, spec, editBottle)
			if err != nil {
				return err
			}
			return editUntilRight(cmd.Context(), s, file, agent.again(args[0], editBottle), func() error { return check(m, spec) })
		},
	}
	agent.add(cmd)
	cmd.Flags().BoolVar(&editBottle, "edit-bottle", false, "edit the bottle that the agent runs in")
	return cmd
}

// fileToEdit finds the file without needing it to be right: that may be why it is edited.
func fileToEdit(m manifests, spec resolve.Spec, bottle bool) (string, error) {
	ref, err := m.index.FindAgent(spec.AgentName, spec.AgentFromCwd)
	if err != nil || !bottle {
		return ref.File, err
	}
	agent, err := m.index.Agent(spec.AgentName, spec.AgentFromCwd)
	if err != nil {
		return "", err
	}
	names := spec.BottleNames
	if agent.Bottle != "" {
		names = []string{agent.Bottle}
	}
	if len(names) != 1 {
		return "", fmt.Errorf("agent %s names no bottle; say which one to edit with --bottle NAME", agent.Name)
	}
	return m.index.FindBottle(names[0])
}

// check reads the agent and its bottle anew, as a start would.
func check(m manifests, spec resolve.Spec) error {
	index, err := manifest.Open(m.root, m.cwd)
	if err != nil {
		return err
	}
	agent, err := index.Agent(spec.AgentName, spec.AgentFromCwd)
	if err != nil {
		return err
	}
	if agent.Bottle == "" && len(spec.BottleNames) == 0 {
		return nil // which bottle it is shows when it is started
	}
	d, err := resolve.Describe(m.host(), index, spec)
	if err != nil {
		return err
	}
	var errs []error
	for _, problem := range d.Problems {
		errs = append(errs, errors.New(problem))
	}
	return errors.Join(errs...)
}

// again is the command line that edits the same file once more.
func (f *agentFlags) again(agent string, editBottle bool) string {
	line := "podbottle edit " + agent
	if f.from != "" {
		line += " --agent-from " + f.from
	}
	for _, name := range f.bottles {
		line += " --bottle " + name
	}
	if editBottle {
		line += " --edit-bottle"
	}
	return line
}

// editUntilRight opens the editor until the file is right or the user has enough.
func editUntilRight(ctx context.Context, s Streams, file, again string, check func() error) error {
	for {
		if err := openEditor(ctx, s, file); err != nil {
			return err
		}
		fault := check()
		if fault == nil {
			return nil
		}
		if !s.Interactive() {
			return fault
		}
		fmt.Fprintln(s.Err, fault)
		answer, err := s.ask("Edit it again? [y/N] ")
		if err != nil {
			return err
		}
		if !bottle.IsYes(answer) {
			return fmt.Errorf("%s is saved with the fault above; mend it with: %s", file, again)
		}
	}
}

// openEditor lets the user edit a file.
func openEditor(ctx context.Context, s Streams, file string) error {
	cmd := editor(ctx, file)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.In, s.Out, s.Err
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("editor %s: %w; set VISUAL or EDITOR to another one", cmd.Args[3], err)
	}
	return nil
}

// editor runs $VISUAL, $EDITOR or vi. As git does, it lets the shell read the
// variable, since it may hold arguments; the file is an argument of its own.
func editor(ctx context.Context, file string) *exec.Cmd {
	program := cmp.Or(os.Getenv("VISUAL"), os.Getenv("EDITOR"), "vi")
	return exec.CommandContext(ctx, "sh", "-c", program+` "$@"`, program, file) // #nosec G204 G702 -- the user's own variable
}
