package cli

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/podbottle/podbottle/internal/bottle"
	"github.com/podbottle/podbottle/internal/doctor"
	"github.com/podbottle/podbottle/internal/exitstatus"
	"github.com/podbottle/podbottle/internal/pipelock"
)

func newDoctor(s Streams) *cobra.Command {
	var format, firewall string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check whether this host can hold bottles",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := newLauncher(s)
			if err != nil {
				return err
			}
			checks := l.Doctor(cmd.Context(), bottle.FirewallChoice{Engine: pipelock.Engine(firewall)})
			if format == "json" {
				err = printJSON(s, checks)
			} else {
				err = printChecks(s, checks)
			}
			if err == nil && !doctor.Healthy(checks) {
				err = &exitstatus.Error{Code: 1}
			}
			return err
		},
	}
	chooseJSON(cmd, &format, "json instead of a table")
	chooseFirewall(cmd, &firewall, "check for this firewall: pipelock or builtin")
	return cmd
}

func printChecks(s Streams, checks []doctor.Check) error {
	table := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	for _, c := range checks {
		fmt.Fprintf(table, "%s\t%s\t%s\n", c.Status, c.Name, c.Detail)
		if c.Status != doctor.OK {
			fmt.Fprintf(table, "\t\tto mend it: %s\n", c.Mend)
		}
	}
	return table.Flush()
}
