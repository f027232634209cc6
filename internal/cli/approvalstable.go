package cli

import (
	"cmp"
	"time"

	"github.com/containers/common/pkg/report"
	"github.com/docker/go-units"

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
