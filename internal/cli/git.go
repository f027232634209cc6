package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/podbottle/podbottle/internal/bottle"
	"github.com/podbottle/podbottle/internal/gitgate"
	"github.com/podbottle/podbottle/internal/state"
	"github.com/podbottle/podbottle/internal/supervise"
	"github.com/podbottle/podbottle/internal/visible"
)

type gitFlags struct {
	show   string
	yes    bool
	format string
}

func newGit(s Streams) *cobra.Command {
	var f gitFlags
	cmd := &cobra.Command{
		Use:   "git SLUG [allow ID]",
		Short: "Show a bottle's git remotes and refused pushes; let one through",
		Long: `Show the declared git remotes of a bottle, when they were last fetched from and pushed
to, and the pushes that git-gate refused.

With allow, one refused push may go through once: the agent pushes the same again,
from the same state of the remote, and git-gate forwards it. Nothing else is let
through by it. The bottle has to run, and the decision stands in its audit file.`,
		Example: `  podbottle git web-abc12
  podbottle git web-abc12 --show 3fa9c21e00c0ffee
  podbottle git web-abc12 allow 3fa9c21e00c0ffee`,
		Args:              gitArgs,
		ValidArgsFunction: completeGit,
		RunE: func(_ *cobra.Command, args []string) error {
			dirs, err := gitGateOf(args[0])
			if err != nil {
				return err
			}
			switch {
			case len(args) == 3:
				return f.allow(s, dirs, args[2])
			case f.show != "":
				return f.showRefusal(s, dirs)
			}
			return f.list(s, dirs)
		},
	}
	cmd.Flags().StringVar(&f.show, "show", "", "show the refused push with this ID")
	complete(cmd, "show", func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return nil, noFiles
		}
		return refusedPushes(args[0]), noFiles
	})
	cmd.Flags().BoolVarP(&f.yes, "yes", "y", false, "with allow: do not ask")
	chooseJSON(cmd, &f.format, "json")
	return cmd
}

func gitArgs(_ *cobra.Command, args []string) error {
	const what = "the slug of one bottle, or: SLUG allow ID"
	if len(args) == 1 || len(args) == 3 && args[1] == "allow" {
		return noneEmpty(args, what)
	}
	return errors.New("wanted " + what)
}

// gitGateDirs are the directories of a bottle's git-gate on the host.
type gitGateDirs struct{ slug, state, config string }

func gitGateOf(name string) (gitGateDirs, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return gitGateDirs{}, err
	}
	root, err := state.Root(os.LookupEnv, home)
	if err != nil {
		return gitGateDirs{}, err
	}
	slug, err := bottle.FindState(root, name)
	if err != nil {
		return gitGateDirs{}, err
	}
	tree, err := state.Of(root, slug)
	if err != nil {
		return gitGateDirs{}, err
	}
	d := gitGateDirs{slug: slug, state: tree.Data("git-gate")}
	if runtime, ok := os.LookupEnv("XDG_RUNTIME_DIR"); ok && runtime != "" {
		d.config = state.Runtime(runtime, slug).Service("git-gate").Config()
	}
	if _, err := os.Stat(d.state); errors.Is(err, fs.ErrNotExist) {
		return d, fmt.Errorf("bottle %s has no git-gate: it declares no git remote", slug)
	}
	return d, nil
}

// live reports whether the sidecar can be told something.
func (d gitGateDirs) live() bool {
	if d.config == "" {
		return false
	}
	_, err := os.Stat(filepath.Join(d.config, gitgate.ConfigFile))
	return err == nil
}

func (f gitFlags) list(s Streams, d gitGateDirs) error {
	status, err := gitgate.ReadStatus(d.state, d.config)
	if err != nil {
		return err
	}
	if f.format == "json" {
		return printJSON(s, status)
	}
	rows := make([]repositoryRow, 0, len(status.Repositories))
	for _, r := range status.Repositories {
		rows = append(rows, repositoryRow{
			Repository: visible.String(r.Name), Remote: visible.String(r.Remote),
			Fetch: happened(r.LastFetch), Push: happened(r.LastPush), Refused: r.Refused,
		})
	}
	const table = "table {{.Repository}}\t{{.Remote}}\t{{.Fetch}}\t{{.Push}}\t{{.Refused}}"
	headers := []map[string]string{{"Repository": "REPOSITORY", "Remote": "REMOTE", "Fetch": "LAST FETCH", "Push": "LAST PUSH", "Refused": "REFUSED"}}
	if err := printTable(s, headers, rows, table); err != nil || len(status.Refusals) == 0 {
		return err
	}
	fmt.Fprintln(s.Out)
	refused := make([]refusalRow, 0, len(status.Refusals))
	for _, r := range status.Refusals {
		refused = append(refused, newRefusalRow(r))
	}
	const refusedTable = "table {{.ID}}\t{{.When}}\t{{.Repository}}\t{{.State}}\t{{.Why}}"
	headers = []map[string]string{{"ID": "REFUSED PUSH", "When": "LAST TRIED", "Repository": "REPOSITORY", "State": "STATE", "Why": "WHY"}}
	return printTable(s, headers, refused, refusedTable)
}

// repositoryRow and refusalRow are lines of the tables. Everything in them is safe to print.
type repositoryRow struct {
	Repository, Remote, Fetch, Push string
	Refused                         int
}

type refusalRow struct{ ID, When, Repository, State, Why string }

func newRefusalRow(r gitgate.Refusal) refusalRow {
	why := "unknown"
	if len(r.Findings) > 0 {
		why = visible.String(r.Findings[0].String())
	}
	if r.FindingCount > 1 {
		why += fmt.Sprintf(" and %d more", r.FindingCount-1)
	}
	return refusalRow{ID: r.ID, When: ago(r.Last), Repository: visible.String(r.Repository), State: r.State(), Why: why}
}

// happened says when and with which result.
func happened(r *gitgate.Record) string {
	if r == nil {
		return "never"
	}
	return ago(r.Time) + ", " + visible.String(string(r.Reason))
}

func ago(t time.Time) string { return units.HumanDuration(time.Since(t)) + " ago" }

func (f gitFlags) showRefusal(s Streams, d gitGateDirs) error {
	r, err := findRefusal(d, f.show)
	if err != nil {
		return err
	}
	if f.format == "json" {
		return printJSON(s, r)
	}
	return printRefusal(s, r)
}

func findRefusal(d gitGateDirs, id string) (gitgate.Refusal, error) {
	r, err := gitgate.ReadRefusal(d.state, id)
	if errors.Is(err, fs.ErrNotExist) {
		return r, fmt.Errorf("bottle %s has no refused push %s; podbottle git %s lists them", d.slug, visible.String(id), d.slug)
	}
	return r, err
}

func printRefusal(s Streams, r gitgate.Refusal) error {
	for _, line := range r.Text() {
		if _, err := fmt.Fprintln(s.Out, visible.String(line)); err != nil {
			return err
		}
	}
	return nil
}

// allow lets a refused push through once, after the operator has seen it.
func (f gitFlags) allow(s Streams, d gitGateDirs, id string) error {
	r, err := findRefusal(d, id)
	if err != nil {
		return err
	}
	switch {
	case r.State() == "landed":
		return fmt.Errorf("the push %s was let through once already; when it should go again, the agent has to make another", id)
	case r.State() == "allowed":
		return fmt.Errorf("the push %s is allowed already; the agent has to push again", id)
	case !d.live():
		return fmt.Errorf("bottle %s does not run; resume it first: podbottle resume %s", d.slug, d.slug)
	}
	if !f.yes {
		if !s.Interactive() {
			return errors.New("nobody can answer here; look at the push with --show and say --yes")
		}
		if err := printRefusal(s, r); err != nil {
			return err
		}
		answer, err := s.ask("Let this push through, once? [y/N] ")
		if err != nil {
			return err
		}
		if !bottle.IsYes(answer) {
			return errors.New("the push stays refused")
		}
	}
	allowance := gitgate.Allowance{ID: id, By: supervise.CurrentOperator("git allow", os.LookupEnv).User, At: time.Now().UTC()}
	if err := allowance.Write(d.config); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Out, "allowed: the agent may push %s again, once\n", id)
	return err
}
