package cli

import (
	"cmp"
	"time"

	"github.com/containers/common/pkg/report"
	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/podbottle/podbottle/internal/supervise"
)

// proposalRow is one line of approvals list. Everything in it is safe to print.
type proposalRow struct {
	ID, Slug, Tool, Status, Age, Asks string
}

func proposalHeaders() []map[string]string {
	return report.Headers(proposalRow{}, map[string]string{"ID": "ID"})
}

func proposalFormat(format string) string {
	return cmp.Or(format, "table {{.ID}}\t{{.Slug}}\t{{.Tool}}\t{{.Status}}\t{{.Age}}\t{{.Asks}}")
}

func proposalRows(entries []supervise.Entry) []proposalRow {
	rows := make([]proposalRow, 0, len(entries))
	for _, e := range entries {
		p := e.Proposal
		rows = append(rows, proposalRow{
			ID: p.ShortID(), Slug: p.Slug, Tool: string(p.Tool), Status: string(e.Status()),
			Age: units.HumanDuration(time.Since(p.Time)), Asks: p.Asks(),
		})
	}
	return rows
}

func completeProposals(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	l, err := newLauncher(Streams{})
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	bottles, err := l.Supervised()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	entries, _ := supervise.Collect(bottles, false)
	ids := make([]string, 0, len(entries))
	for _, e := range entries {
		ids = append(ids, e.Proposal.ShortID()+"\t"+e.Proposal.Asks())
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}
