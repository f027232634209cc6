package bottle

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/docker/go-units"

	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/provider"
	"github.com/podbottle/podbottle/internal/resolve"
	"github.com/podbottle/podbottle/internal/visible"
)

// preflight shows what is about to be started: names, never values.
func (s *launch) preflight(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, line := range s.preflightLines() {
		fmt.Fprintf(table, "  %s\t%s\n", line.name, visible.String(line.value))
	}
	return errors.Join(table.Flush(), s.showChanges(w))
}

// showChanges says what a resumed bottle has otherwise than at its last launch.
func (s *launch) showChanges(w io.Writer) error {
	if !s.resumed {
		return nil
	}
	changes, err := resolve.Changes(s.Root, s.plan)
	if err != nil || len(changes) == 0 {
		return err
	}
	fmt.Fprintln(w, "  changed since the last launch:")
	for _, c := range changes {
		fmt.Fprintf(w, "    %s: %s -> %s\n", visible.String(c.Path), visible.String(cmp.Or(c.Old, "nothing")), visible.String(cmp.Or(c.New, "nothing")))
	}
	return nil
}

type preflightLine struct{ name, value string }

func (s *launch) preflightLines() []preflightLine {
	plan := s.plan
	lines := []preflightLine{
		{"agent", plan.Spec.AgentName},
		{"bottle", strings.Join(plan.Bottles, ", ")},
		{"slug", plan.Slug},
		{"provider", plan.AgentProvision.Template},
		{"image", plan.RuntimeImage},
	}
	if plan.AgentProvision.Template == provider.TemplateCommand { // of the others the provider's name says it
		lines = append(lines, preflightLine{"command", visible.Command(plan.AgentProvision.Command)})
	}
	lines = append(lines, preflightLine{"runtime", s.describeRuntime()}, preflightLine{"firewall", s.firewall.String()})
	add := func(name string, values []string) {
		if len(values) > 0 {
			lines = append(lines, preflightLine{name, strings.Join(values, ", ")})
		}
	}
	add("env", envNames(plan))
	add("skills", plan.Skills)
	if user := plan.GitGate.User; user.Name != "" || user.Email != "" {
		add("git identity", []string{strings.TrimSpace(user.Name+" <"+user.Email+">") + " (" + user.Origin + ")"})
	}
	var remotes []string
	for _, u := range plan.GitGate.Upstreams {
		remotes = append(remotes, fmt.Sprintf("%s (%s:%d)", u.Name, u.Host, u.Port))
	}
	add("git remotes", remotes)
	hosts := routeLines(plan.Egress.Routes)
	if len(hosts) == 0 {
		hosts = []string{"none: every request is refused"}
	}
	add("egress", hosts)
	if plan.Supervise != nil {
		lines = append(lines, preflightLine{"supervise", "on"})
	}
	if plan.Workspace != nil {
		lines = append(lines, preflightLine{"workspace", s.describeWorkspace(*plan.Workspace)})
	}
	return lines
}

// describeWorkspace says what the agent has of the user's directory. A resumed one has
// it in its home, where it was left; the directory is not copied again.
func (s *launch) describeWorkspace(w resolve.Workspace) string {
	if s.keptHome {
		return "as it was left; it began as a copy of " + w.Dir
	}
	return fmt.Sprintf("a copy of %s: %d files, %s", w.Dir, w.Files, units.HumanSize(float64(w.Bytes)))
}

// describeRuntime says under which kernel the agent runs, plainly.
func (s *launch) describeRuntime() string {
	if s.runsc == "" {
		return "crun: the agent shares this machine's kernel"
	}
	return "runsc (" + s.runsc + "): the agent's kernel is gVisor"
}

// envNames are the agent's variables, without those that the provider hides.
func envNames(plan *resolve.Plan) []string {
	names := map[string]bool{}
	for name := range maps.Keys(plan.Literals) {
		names[name] = true
	}
	for _, name := range plan.ForwardedNames {
		names[name] = true
	}
	for name := range maps.Keys(plan.AgentProvision.GuestEnv) {
		names[name] = true
	}
	for _, hidden := range plan.AgentProvision.HiddenEnv {
		delete(names, hidden)
	}
	return slices.Sorted(maps.Keys(names))
}

// routeLines are the hosts with what goes along with a request.
func routeLines(routes []egress.Route) []string {
	var lines []string
	for _, r := range routes {
		line := r.Host
		if r.Port != 0 {
			line = fmt.Sprintf("%s:%d", line, r.Port)
		}
		if r.AuthScheme != "" {
			line += " [auth:" + cmp.Or(r.AuthHeader, r.AuthScheme) + "]"
		}
		if len(r.PathAllowlist) > 0 || len(r.Matches) > 0 {
			line += " [some paths]"
		}
		lines = append(lines, line)
	}
	return lines
}
