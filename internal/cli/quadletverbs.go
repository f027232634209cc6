package cli

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/containers/common/pkg/report"
	"github.com/spf13/cobra"

	"github.com/podbottle/podbottle/internal/bottle"
	"github.com/podbottle/podbottle/internal/exitstatus"
)

// onUnits makes a verb that works on one installed bottle.
func onUnits(s Streams, use, short string, run func(ctx context.Context, l *bottle.Launcher, name string) error) *cobra.Command {
	return &cobra.Command{
		Use:               use + " NAME",
		Short:             short,
		Args:              exactArgs(1, "the name of one bottle; podbottle quadlet list shows those there are"),
		ValidArgsFunction: completeInstalled,
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := newLauncher(s)
			if err != nil {
				return err
			}
			return run(cmd.Context(), l, args[0])
		},
	}
}

func newQuadletStart(s Streams) *cobra.Command {
	return onUnits(s, "start", "Start an installed bottle", func(ctx context.Context, l *bottle.Launcher, name string) error {
		return agentStatus(l.StartUnits(ctx, name))
	})
}

func newQuadletStop(s Streams) *cobra.Command {
	return onUnits(s, "stop", "Stop an installed bottle", func(ctx context.Context, l *bottle.Launcher, name string) error {
		return l.StopUnits(ctx, name)
	})
}

func newQuadletRestart(s Streams) *cobra.Command {
	var withdraw bool
	cmd := onUnits(s, "restart", "Stop an installed bottle and start it", func(ctx context.Context, l *bottle.Launcher, name string) error {
		if withdraw {
			if err := l.WithdrawUnitImage(ctx, name); err != nil {
				return err
			}
		}
		return agentStatus(l.RestartUnits(ctx, name))
	})
	cmd.Flags().BoolVar(&withdraw, "withdraw-image", false, "go back to the image before the last approved capability change")
	return cmd
}

func newQuadletRefresh(s Streams) *cobra.Command {
	return onUnits(s, "refresh", "Read tokens and keys of the host again and restart egress",
		func(ctx context.Context, l *bottle.Launcher, name string) error { return l.Refresh(ctx, name) })
}

// newQuadletPrepare and newQuadletAwait are what units run.
func newQuadletPrepare(s Streams) *cobra.Command {
	cmd := onUnits(s, "prepare", "Write the files that the containers mount", func(ctx context.Context, l *bottle.Launcher, name string) error {
		return l.Prepare(ctx, name)
	})
	cmd.Hidden = true
	return cmd
}

func newQuadletAwait(s Streams) *cobra.Command {
	cmd := onUnits(s, "await", "Wait until every service of the bottle does its work", func(ctx context.Context, l *bottle.Launcher, name string) error {
		return l.Await(ctx, name)
	})
	cmd.Hidden = true
	return cmd
}

func newQuadletDiff(s Streams) *cobra.Command {
	cmd := onUnits(s, "diff", "Show what an installation would change in the units", func(ctx context.Context, l *bottle.Launcher, name string) error {
		text, err := l.Diff(ctx, name)
		if err != nil || text == "" {
			return err
		}
		fmt.Fprint(s.Out, text)
		return &exitstatus.Error{Code: 1}
	})
	cmd.Long = "Show what an installation would change in the units, as diff -u does. The exit status is 1 when there is a difference."
	return cmd
}

func newQuadletUninstall(s Streams) *cobra.Command {
	var yes bool
	cmd := onUnits(s, "uninstall", "Stop an installed bottle and remove all of it", func(ctx context.Context, l *bottle.Launcher, name string) error {
		return l.Uninstall(ctx, name, yes)
	})
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "remove without asking")
	return cmd
}

func newQuadletLogs(s Streams) *cobra.Command {
	var services []string
	var follow bool
	var lines int
	cmd := onUnits(s, "logs", "Show the journal of an installed bottle", func(ctx context.Context, l *bottle.Launcher, name string) error {
		return l.UnitLogs(ctx, name, services, follow, lines)
	})
	cmd.Flags().StringArrayVar(&services, "service", nil, "agent, egress, pipelock, git-gate, supervise or another part; repeat for several (default all)")
	complete(cmd, "service", completeServices)
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until interrupted")
	cmd.Flags().IntVarP(&lines, "lines", "n", 100, "how many lines to show at first")
	return cmd
}

func newQuadletStatus(s Streams) *cobra.Command {
	var format string
	cmd := onUnits(s, "status", "Show how the units of an installed bottle stand", func(ctx context.Context, l *bottle.Launcher, name string) error {
		status, err := l.UnitStatus(ctx, name)
		if err != nil {
			return err
		}
		if format == "json" {
			return printJSON(s, status)
		}
		table := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "UNIT\tLOAD\tACTIVE\tSUB")
		for _, u := range status.Units {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", u.Unit, u.Load, u.Active, u.Sub)
		}
		return table.Flush()
	})
	chooseJSON(cmd, &format, "json instead of a table")
	return cmd
}

func newQuadletList(s Streams) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the bottles that are systemd's",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := newLauncher(s)
			if err != nil {
				return err
			}
			list, err := l.UnitStatuses(cmd.Context())
			if err != nil {
				return err
			}
			switch format {
			case "json":
				return printJSON(s, append([]bottle.UnitStatus{}, list...))
			case "":
				format = "table {{.Name}}\t{{.Agent}}\t{{.Form}}\t{{.Active}}\t{{.Timer}}"
			}
			return printTable(s, report.Headers(bottle.UnitStatus{}, nil), list, format)
		},
	}
	addTableFormat(cmd, &format)
	return cmd
}
