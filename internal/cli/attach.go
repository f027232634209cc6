package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/podbottle/podbottle/internal/bottle"
	"github.com/podbottle/podbottle/internal/pod"
)

func newAttach(s Streams) *cobra.Command {
	return &cobra.Command{
		Use:   "attach SLUG",
		Short: "Come back to the terminal of a running bottle",
		Long: `Come back to the terminal of a running bottle. ctrl-p,ctrl-q leaves it running.
When the agent ends, the bottle is taken down as at the end of podbottle start.`,
		Args:              exactArgs(1, "the slug of one bottle; podbottle list shows those there are"),
		ValidArgsFunction: completeSlug,
		RunE: withLauncher(s, func(ctx context.Context, l *bottle.Launcher, args []string) error {
			return agentStatus(l.Attach(ctx, args[0]))
		}),
	}
}

func newExec(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "exec [flags] SLUG [--] COMMAND [ARG...]",
		Short: "Run a command beside the agent",
		Long: `Run a command beside the agent: as its user, in its working directory and with its
variables. At a terminal the command has one, and ctrl-p,ctrl-q leaves it running;
otherwise what goes through it stays as it is, byte for byte.

The exit status is the command's. 126 and 127 say that it cannot be run or is not
there, and 125 that podbottle failed.`,
		Example: `  podbottle exec fixer-x7k2p bash
  podbottle exec fixer-x7k2p -- git diff | less
  podbottle exec fixer-x7k2p -- sh -c 'cat >notes.txt' <notes.txt`,
		DisableFlagsInUseLine: true,

		Args: func(cmd *cobra.Command, args []string) error {
			const what = "a slug and a command"
			if err := atLeast(2, what)(cmd, args); err != nil {
				return err
			}
			command := withoutDashes(args[1:])
			if len(command) == 0 {
				return errors.New("wanted " + what)
			}
			return noneEmpty(command[:1], what)
		},
		ValidArgsFunction: completeSlug,
		RunE: withLauncher(s, func(ctx context.Context, l *bottle.Launcher, args []string) error {
			return agentStatus(l.Exec(ctx, args[0], withoutDashes(args[1:])))
		}),
	}
	// podman exec is told with -it what is the case here anyway.
	cmd.Flags().BoolP("interactive", "i", false, "pass standard input on, as always; for those who are used to podman exec -it")
	cmd.Flags().BoolP("tty", "t", false, "give the command a terminal where there is one, as always")
	cmd.Flags().SetInterspersed(false)
	return cmd
}

// withoutDashes drops the -- before a command: flags end at the slug, so that the
// command's own are left alone, and then pflag does not take it for its own.
func withoutDashes(command []string) []string {
	if command[0] == "--" {
		return command[1:]
	}
	return command
}

func newStop(s Streams) *cobra.Command {
	var all, discard bool
	cmd := &cobra.Command{
		Use:   "stop SLUG... | --all",
		Short: "Take bottles down",
		Long: `Take bottles down. Their state is kept, so that podbottle resume goes on with them.
With --discard it is removed, also that of a bottle that was stopped before.`,
		Example: `  podbottle stop fixer-x7k2p
  podbottle stop --discard fixer-x7k2p
  podbottle stop --all`,
		Args: func(cmd *cobra.Command, args []string) error {
			if all {
				return exactArgs(0, "either slugs or --all")(cmd, args)
			}
			return atLeast(1, "the slug of at least one bottle; podbottle list shows those there are")(cmd, args)
		},
		ValidArgsFunction: completeStop,
		RunE: withLauncher(s, func(ctx context.Context, l *bottle.Launcher, args []string) error {
			if all {
				return l.StopAll(ctx, discard)
			}
			return l.Stop(ctx, args, discard)
		}),
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "every bottle that runs")
	cmd.Flags().BoolVar(&discard, "discard", false, "remove the state and the agent's home as well")
	return cmd
}

func newLogs(s Streams) *cobra.Command {
	var service string
	var r pod.LogRange
	var raw bool
	cmd := &cobra.Command{
		Use:   "logs SLUG",
		Short: "Show what the agent or one of its sidecars printed",
		Example: `  podbottle logs fixer-x7k2p
  podbottle logs --follow --tail 20 fixer-x7k2p
  podbottle logs --service egress --since 10m fixer-x7k2p`,
		Args:              exactArgs(1, "the slug of one bottle; podbottle list shows those there are"),
		ValidArgsFunction: completeSlug,
		RunE: withLauncher(s, func(ctx context.Context, l *bottle.Launcher, args []string) error {
			return l.Logs(ctx, args[0], service, r, raw)
		}),
	}
	cmd.Flags().StringVar(&service, "service", "agent", "agent, egress, pipelock, git-gate or supervise")
	complete(cmd, "service", completeServices)
	cmd.Flags().BoolVarP(&r.Follow, "follow", "f", false, "go on until the container ends")
	cmd.Flags().Var(tailLines{&r.Tail}, "tail", "only this many lines of the end; -1 for all")
	complete(cmd, "tail", cobra.NoFileCompletions)
	cmd.Flags().Var(sinceTime{&r.Since}, "since", "only from this time on: 10m for the last ten minutes, 2026-01-31T08:00:00+01:00, 2026-01-31 (in UTC), or Unix seconds")
	complete(cmd, "since", cobra.NoFileCompletions)
	cmd.Flags().BoolVar(&raw, "raw", false, "let terminal escapes of the agent through")
	return cmd
}
