package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/podbottle/podbottle/internal/supervise"
	"github.com/podbottle/podbottle/internal/supervise/notify"
	"github.com/podbottle/podbottle/internal/visible"
)

// notifyFlags say how an operator who does not look is told.
type notifyFlags struct {
	desktop bool
	hook    string
}

func (f *notifyFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.desktop, "notify", false, "show a desktop notification for each proposal")
	cmd.Flags().StringVar(&f.hook, "hook", "", "shell command to run for each proposal, with the proposal as JSON on its standard input")
}

// watch tells of each proposal until ctx ends; warn gets what could not be told.
func (f notifyFlags) watch(ctx context.Context, bottles func() ([]supervise.Bottle, error), show func(supervise.View) error, warn func(error)) error {
	var desktop *notify.Desktop
	if f.desktop {
		var err error
		if desktop, err = notify.NewDesktop(ctx); err != nil {
			return err
		}
		defer desktop.Close()
	}
	return supervise.Watch(ctx, bottles, func(b supervise.Bottle, e supervise.Entry) {
		view := b.View(e, time.Now(), time.Time{})
		tell := func(err error) {
			if err != nil && ctx.Err() == nil {
				warn(err)
			}
		}
		tell(show(view))
		if desktop != nil {
			tell(desktop.Notify(ctx, view))
		}
		if f.hook != "" {
			tell(notify.Hook(ctx, f.hook, view))
		}
	})
}

func newApprovalsWatch(s Streams) *cobra.Command {
	var notifying notifyFlags
	var format string
	cmd := &cobra.Command{
		Use:   "watch [SLUG]",
		Short: "Print each proposal as it comes, and notify, until interrupted",
		Example: `  podbottle approvals watch --notify
  podbottle approvals watch --format json
  podbottle approvals watch --hook 'jq -r .summary | mail -s "a bottle asks" me'`,
		Args:              atMostOne("the slug of one bottle"),
		ValidArgsFunction: completeStates,
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := newLauncher(s)
			if err != nil {
				return err
			}
			show := func(v supervise.View) error {
				if format == "json" {
					text, err := visible.Marshal(v)
					if err == nil {
						_, err = fmt.Fprintln(s.Out, text)
					}
					return err
				}
				_, err := fmt.Fprintf(s.Out, "%s  %s  %s  %s\n", v.Proposal.ShortID(), visible.String(v.Proposal.Slug), v.Proposal.Tool, v.Summary)
				return err
			}
			warn := func(err error) {
				fmt.Fprintln(s.Err, "Warning:", strings.Join(visible.Lines(err.Error()), "\n"))
			}
			return notifying.watch(cmd.Context(), supervisedOnly(l, args), show, warn)
		},
	}
	notifying.add(cmd)
	chooseJSON(cmd, &format, "json: one object a line")
	return cmd
}
