package cli

import (
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/podbottle/podbottle/internal/manifest"
	"github.com/podbottle/podbottle/internal/resolve"
	"github.com/podbottle/podbottle/internal/state"
	"github.com/podbottle/podbottle/internal/visible"
)

func newInfo(s Streams) *cobra.Command {
	var agent agentFlags
	var format string
	cmd := &cobra.Command{
		Use:   "info AGENT",
		Short: "Show what an agent and its bottle are, without starting anything",
		Example: `  podbottle info fixer
  podbottle info fixer --format json`,
		Args:              exactArgs(1, "the name of one agent; podbottle list --agents shows those there are"),
		ValidArgsFunction: completeAgents,
		RunE: func(_ *cobra.Command, args []string) error {
			m, err := openManifests()
			if err != nil {
				return err
			}
			m.warn(s)
			d, err := resolve.Describe(m.host(), m.index, agent.spec(args[0], m.cwd))
			if err != nil {
				return err
			}
			if format == "json" {
				return printJSON(s, d)
			}
			return printDescription(s, d)
		},
	}
	agent.add(cmd)
	chooseJSON(cmd, &format, "json")
	return cmd
}

// agentFlags say which agent and which bottles are meant.
type agentFlags struct {
	from    string
	bottles []string
}

func (f *agentFlags) add(cmd *cobra.Command) {
	chooseAgentFrom(cmd, &f.from, "home or cwd: which agent is meant where both have one of the name (default home)")
	addBottles(cmd, &f.bottles)
}

func (f *agentFlags) spec(name, cwd string) resolve.Spec {
	return resolve.Spec{AgentName: name, UserCwd: cwd, AgentFromCwd: f.from == "cwd", BottleNames: f.bottles}
}

// manifests are the user's manifests and where they were found.
type manifests struct {
	root, home, cwd string
	index           *manifest.Index
}

func openManifests() (manifests, error) {
	m, err := findManifests()
	if err != nil {
		return m, err
	}
	m.index, err = manifest.Open(m.root, m.cwd)
	return m, err
}

// findManifests says where manifests belong, whether or not there are any.
func findManifests() (m manifests, err error) {
	if m.home, err = os.UserHomeDir(); err != nil {
		return m, err
	}
	if m.cwd, err = os.Getwd(); err != nil {
		return m, err
	}
	m.root, err = state.Root(os.LookupEnv, m.home)
	return m, err
}

// host is as much of the machine as describing an agent needs.
func (m manifests) host() resolve.Host {
	return resolve.Host{LookupEnv: os.LookupEnv, Now: time.Now, Root: m.root, Home: m.home}
}

func (m manifests) warn(s Streams) {
	for _, warning := range m.index.Warnings() {
		fmt.Fprintln(s.Err, "Warning:", warning)
	}
}

// printDescription shows a description; a repository may have written parts of it.
func printDescription(s Streams, d *resolve.Description) error {
	table := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	line := func(name string, values ...string) {
		for i, value := range values {
			if i > 0 {
				name = ""
			}
			fmt.Fprintf(table, "%s\t%s\n", name, visible.String(value))
		}
	}
	line("agent", d.Agent)
	line("file", d.File)
	line("bottle", d.Bottle)
	if len(d.Bottles) > 1 {
		line("made from", strings.Join(d.Bottles, ", "))
	}
	if d.Label != "" {
		line("label", d.Label)
	}
	line("provider", d.Provider)
	line("image", strings.TrimSpace(d.Image+"  "+d.Dockerfile))
	if len(d.Command) > 0 {
		line("command", visible.Command(d.Command))
	}
	line("env", describeEnv(d.Env)...)
	line("skills", d.Skills...)
	if d.PromptLength > 0 {
		line("prompt", fmt.Sprintf("%s (%d characters in all)", d.PromptStart, d.PromptLength))
	} else {
		line("prompt", "none")
	}
	if u := d.GitUser; u.Origin != "" {
		line("git identity", fmt.Sprintf("%s (%s)", strings.TrimSpace(u.Name+" <"+u.Email+">"), u.Origin))
	}
	for i, r := range d.Remotes {
		name := ""
		if i == 0 {
			name = "git remotes"
		}
		line(name, fmt.Sprintf("%s  %s", r.Name, r.URL))
	}
	line("egress", routeLines(d)...)
	if d.Supervise {
		line("supervise", "on")
	}
	line("problems", d.Problems...)
	return table.Flush()
}

func describeEnv(vars []resolve.EnvDescription) []string {
	var lines []string
	for _, v := range vars {
		switch v.Kind {
		case "host":
			lines = append(lines, fmt.Sprintf("%s  from the host's %s", v.Name, v.Source))
		case "prompt":
			lines = append(lines, v.Name+"  asked for at the start")
		default:
			lines = append(lines, v.Name)
		}
	}
	return lines
}

func routeLines(d *resolve.Description) []string {
	if len(d.Routes) == 0 {
		return []string{"nothing can be reached"}
	}
	lines := make([]string, 0, len(d.Routes))
	for _, r := range d.Routes {
		text := r.Host
		if r.Port != 0 {
			text += fmt.Sprintf(":%d", r.Port)
		}
		if len(r.PathAllowlist) > 0 {
			text += "  " + strings.Join(r.PathAllowlist, " ")
		}
		if r.AuthScheme != "" {
			text += fmt.Sprintf("  [auth:%s from %s]", r.AuthScheme, r.TokenRef)
		}
		lines = append(lines, text)
	}
	return lines
}
