package cli

import (
	"github.com/spf13/cobra"

	"github.com/podbottle/podbottle/internal/bottle"
	"github.com/podbottle/podbottle/internal/exitstatus"
	"github.com/podbottle/podbottle/internal/pipelock"
	"github.com/podbottle/podbottle/internal/verify"
)

func newVerify(s Streams) *cobra.Command {
	var format, firewall string
	var o verify.Options
	cmd := &cobra.Command{
		Use:   "verify [AGENT|SLUG]",
		Short: "Attack a bottle from the inside and say what held",
		Long: `Attack a bottle from the inside, as the agent and as root, and say what held.

Without an argument a bottle of its own is started, with an agent's name one of that
agent, in the place of its program. A bottle that runs is entered and goes on running.

The status is 0 only when every probe held; a probe that could not run did not hold.
It is 1 when one did not, and 125 when the bottle could not be attacked at all: then
there is no report.`,
		Example: `  podbottle verify
  podbottle verify fixer --format junit >verify.xml`,
		Args:              atMostOne("the name of one agent or the slug of one bottle"),
		ValidArgsFunction: completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			write := map[string]func(*verify.Report) error{
				"human": func(r *verify.Report) error { return r.Human(s.Out) },
				"json":  func(r *verify.Report) error { return r.JSON(s.Out) },
				"junit": func(r *verify.Report) error { return r.JUnit(s.Out) },
			}[format]
			l, err := newLauncher(s)
			if err != nil {
				return err
			}
			if len(args) > 0 {
				o.Target = args[0]
			}
			o.Firewall = bottle.FirewallChoice{Engine: pipelock.Engine(firewall)}
			report, err := verify.Run(cmd.Context(), l, o)
			if err != nil {
				return err
			}
			if err := write(report); err != nil {
				return err
			}
			if !report.Held {
				return &exitstatus.Error{Code: 1}
			}
			return nil
		},
	}
	choose(cmd, &format, "format", "human", "human, json or junit", "human", "json", "junit")
	chooseFirewall(cmd, &firewall, firewallUsage)
	chooseRuntime(cmd, &o.Runtime)
	cmd.Flags().StringVar(&o.Image, "image", "", "the agent's image in a bottle of its own (default: the sidecars')")
	return cmd
}
