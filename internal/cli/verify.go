package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/podbottle/podbottle/internal/bottle"
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

The status is 0 only when every probe held; a probe that could not run did not hold.`,
		Example: `  podbottle verify
  podbottle verify fixer --format junit >verify.xml`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			write, ok := map[string]func(*verify.Report) error{
				"human": func(r *verify.Report) error { return r.Human(s.Out) },
				"json":  func(r *verify.Report) error { return r.JSON(s.Out) },
				"junit": func(r *verify.Report) error { return r.JUnit(s.Out) },
			}[format]
			switch {
			case !ok:
				return fmt.Errorf("--format %q is unknown; it can be human, json or junit", format)
			case o.Runtime != "" && o.Runtime != bottle.RuntimeRunsc && o.Runtime != bottle.RuntimeCrun:
				return fmt.Errorf("--runtime %q is unknown; it can be runsc or crun", o.Runtime)
			}
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
				return &ExitError{Code: 1}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&format, "format", "human", "human, json or junit")
	cmd.Flags().StringVar(&firewall, "firewall", "", "firewall behind egress: pipelock or builtin (default: config.yaml, else pipelock)")
	cmd.Flags().StringVar(&o.Runtime, "runtime", "", "run the agent under runsc or crun (default: runsc where the host has it)")
	cmd.Flags().StringVar(&o.Image, "image", "", "the agent's image in a bottle of its own (default: the sidecars')")
	return cmd
}
