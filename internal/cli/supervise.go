package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/spf13/cobra"

	"github.com/podbottle/podbottle/internal/bottle"
	"github.com/podbottle/podbottle/internal/progress"
	"github.com/podbottle/podbottle/internal/supervise"
	"github.com/podbottle/podbottle/internal/supervise/console"
)

func newSupervise(s Streams) *cobra.Command {
	var notifying notifyFlags
	cmd := &cobra.Command{
		Use:   "supervise [SLUG]",
		Short: "Answer what agents ask for, in a terminal interface",
		Long: `Answer what agents ask for, in a terminal interface. It shows what waits in all bottles,
or in one, and for each what it would change. podbottle approvals does the same
without a terminal.`,
		Example: `  podbottle supervise
  podbottle supervise --notify`,
		Args:              atMostOne("the slug of one bottle"),
		ValidArgsFunction: completeStates,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !s.Terminal() {
				return errors.New("there is no terminal for the interface; use: podbottle approvals")
			}
			l, err := newLauncher(s)
			if err != nil {
				return err
			}
			// What building an image and taking a bottle down say would be written over the interface.
			var said progress.Tail
			l.Err, l.Progress = &said, progress.Steps(&said)
			bottles := supervisedOnly(l, args)
			if _, err := bottles(); err != nil {
				return err
			}
			ctx, cancel := context.WithCancel(cmd.Context())
			defer cancel()
			model := console.New(ctx, console.Outside{
				Bottles: bottles, Editor: editor, Lookup: os.LookupEnv, Now: time.Now,
				By: supervise.CurrentOperator("supervise", os.LookupEnv),
			})
			program := tea.NewProgram(model, tea.WithContext(ctx), tea.WithAltScreen(), tea.WithInput(s.In), tea.WithOutput(s.Out))
			if notifying.desktop || notifying.hook != "" {
				go notifying.beside(ctx, program, bottles)
			}
			_, err = program.Run()
			if cmd.Context().Err() != nil {
				err = context.Cause(cmd.Context())
			}
			cancel()
			outcome, problem := model.Leave()
			if outcome != "" {
				fmt.Fprintln(&said, outcome)
			}
			_, _ = io.WriteString(s.Err, said.String())
			return errors.Join(err, problem)
		},
	}
	notifying.add(cmd)
	return cmd
}

// beside notifies while the interface runs, which shows what goes wrong.
func (f notifyFlags) beside(ctx context.Context, program *tea.Program, bottles func() ([]supervise.Bottle, error)) {
	warn := func(err error) { program.Send(console.Problem{Err: err}) }
	show := func(supervise.View) error { return nil }
	if err := f.watch(ctx, bottles, show, warn); err != nil {
		warn(err)
	}
}

// supervisedOnly lists the bottles with a queue: all, or the one that is named.
func supervisedOnly(l *bottle.Launcher, args []string) func() ([]supervise.Bottle, error) {
	return func() ([]supervise.Bottle, error) {
		all, err := l.Supervised()
		if err != nil || len(args) == 0 {
			return all, err
		}
		slug, err := bottle.FindState(l.Root, args[0])
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(all, func(b supervise.Bottle) bool { return b.Slug == slug })
		if i < 0 {
			return nil, fmt.Errorf("bottle %s has no supervise; its manifest does not say supervise: true", slug)
		}
		return all[i : i+1], nil
	}
}
