package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/containers/common/pkg/report"
	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/podbottle/podbottle/internal/bottle"
	"github.com/podbottle/podbottle/internal/manifest"
	"github.com/podbottle/podbottle/internal/visible"
)

// tableFormat is what list prints without --format.
const tableFormat = "table {{.Slug}}\t{{.Agent}}\t{{.Bottle}}\t{{.Runtime}}\t{{.Firewall}}\t{{.Status}}\t{{.Waiting}}\t{{.Started}}\t{{.ServiceNames}}\t{{.Label}}"

func newList(s Streams) *cobra.Command {
	var format string
	var all, agents, quiet bool
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls", "ps"},
		Short:   "List the bottles that run",
		Example: `  podbottle list --all
  podbottle list --format '{{.Slug}} {{.Status}}'
  podbottle list --agents`,
		Args: noArgs,
		RunE: withLauncher(s, func(ctx context.Context, l *bottle.Launcher, _ []string) error {
			if agents {
				return listAgents(s, l, format, quiet)
			}
			bottles, err := l.List(ctx, all)
			if err != nil {
				return err
			}
			if quiet {
				format = "{{.Slug}}"
			}
			return printBottles(s, bottles, format)
		}),
	}
	addTableFormat(cmd, &format)
	cmd.Flags().BoolVarP(&all, "all", "a", false, "also bottles whose state is kept")
	cmd.Flags().BoolVar(&agents, "agents", false, "list the agents that can be started instead")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print slugs, or names of agents, only")
	return cmd
}

// row is one line of the table.
type row struct{ bottle.Listed }

// Started is how long ago the bottle was created.
func (r row) Started() string {
	if r.Created.IsZero() {
		return ""
	}
	return units.HumanDuration(time.Since(r.Created)) + " ago"
}

// Label is the user's own text; an agent of a repository may bring one.
func (r row) Label() string { return visible.String(r.Listed.Label) }

func printBottles(s Streams, bottles []bottle.Listed, format string) error {
	if format == "json" {
		return printJSON(s, append([]bottle.Listed{}, bottles...))
	}
	rows := make([]row, 0, len(bottles))
	for _, b := range bottles {
		rows = append(rows, row{b})
	}
	headers := report.Headers(row{}, map[string]string{"ServiceNames": "SERVICES", "Started": "STARTED", "Label": "LABEL"})
	return printTable(s, headers, rows, cmp.Or(format, tableFormat))
}

func printJSON(s Streams, value any) error {
	text, err := visible.Marshal(value)
	if err != nil {
		return err
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, []byte(text+"\n"), "", "  "); err != nil {
		return err
	}
	_, err = s.Out.Write(indented.Bytes())
	return err
}

// printTable renders rows with a Go template in podman's dialect.
func printTable(s Streams, headers []map[string]string, rows any, format string) error {
	if !strings.Contains(format, "{{") { // podman ps would print the word for every row
		return fmt.Errorf("--format %s: it can be json, or a Go template such as '{{.Slug}}'", format)
	}
	origin := report.OriginUser
	if strings.HasPrefix(format, "table ") {
		origin = report.OriginPodman
	}
	var text bytes.Buffer // the formatter would lose the error of a write
	formatter, err := report.New(&text, "list").Parse(origin, format)
	if err != nil {
		return err
	}
	if formatter.RenderHeaders {
		if err := formatter.Execute(headers); err != nil {
			return err
		}
	}
	if err := formatter.Execute(rows); err != nil {
		return err
	}
	formatter.Flush()
	_, err = s.Out.Write(text.Bytes())
	return err
}

// agentsFormat is what list --agents prints without --format.
const agentsFormat = "table {{.Name}}\t{{.From}}\t{{.File}}"

// agentRow is one line of list --agents.
type agentRow struct{ manifest.AgentRef }

// From says where the agent is defined, and when it takes a flag to use it.
func (r agentRow) From() string {
	switch {
	case !r.FromCwd:
		return "home"
	case r.Used:
		return "cwd"
	default:
		return "cwd (--agent-from=cwd)"
	}
}

func listAgents(s Streams, l *bottle.Launcher, format string, quiet bool) error {
	index, err := manifest.Open(l.Root, l.Cwd)
	if err != nil {
		return err
	}
	for _, warning := range index.Warnings() {
		fmt.Fprintln(s.Err, "Warning:", warning)
	}
	if quiet {
		_, err := io.WriteString(s.Out, strings.Join(append(index.AgentNames(), ""), "\n"))
		return err
	}
	if format == "json" {
		return printJSON(s, index.Agents())
	}
	rows := make([]agentRow, 0, len(index.Agents()))
	for _, ref := range index.Agents() {
		rows = append(rows, agentRow{ref})
	}
	return printTable(s, report.Headers(agentRow{}, map[string]string{"From": "FROM"}), rows, cmp.Or(format, agentsFormat))
}
