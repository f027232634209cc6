package blueprint

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/pipelock"
	"github.com/podbottle/podbottle/internal/resolve"
	"github.com/podbottle/podbottle/internal/secret"
)

// New describes the bottle of a plan. The containers follow once the addresses
// are known, with Containers.
func New(plan *resolve.Plan, o Options) (*Bottle, error) {
	if len(o.Argv) == 0 {
		return nil, fmt.Errorf("agent %s has no command to run; give its bottle an agent_provider with a command", plan.Spec.AgentName)
	}
	base := "bot-bottle-" + plan.Slug
	b := &Bottle{
		Slug: plan.Slug,
		Labels: map[string]string{
			LabelSlug:     plan.Slug,
			LabelAgent:    plan.Spec.AgentName,
			LabelBottle:   plan.BottleName,
			LabelFirewall: string(o.Firewall),
		},
		PodName:   PodName(plan.Slug),
		InfraName: base + "-infra",
		Internal:  Network{Name: base + "-internal", InterfaceName: "int0", Internal: true},
		Uplink:    Network{Name: base + "-uplink", InterfaceName: "up0", Options: map[string]string{"isolate": "strict"}},
		Hosts:     o.Hosts,
		// A pod takes over the host's congestion control, and with bbr an upload through
		// pasta stands still after some megabytes. Here it is only about the way to
		// pasta, which sends on over the host's own connections.
		Sysctls: map[string]string{"net.ipv4.tcp_congestion_control": "reno"},
		Volumes: []string{HomeVolume(plan.Slug)},
		Slice: Slice{
			Name:      SliceName(plan.Slug),
			MemoryMax: o.Limits.Memory,
			TasksMax:  o.Limits.Tasks,
			CPUQuota:  o.Limits.CPUQuota,
		},
		plan:    plan,
		options: o,
	}
	for _, s := range b.services() {
		b.Dirs = append(b.Dirs, runDir(s), b.dataDir(s))
	}
	files, err := b.files()
	if err != nil {
		return nil, err
	}
	b.Files = files
	return b, nil
}

// PodName is the name of a bottle's pod.
func PodName(slug string) string { return "bot-bottle-" + slug + "-pod" }

// HomeVolume is the name of the volume that holds the agent's home.
func HomeVolume(slug string) string { return "bot-bottle-" + slug + "-home" }

// SliceName is the systemd slice of a bottle's agent. A dash in a slice's name
// means nesting (systemd.slice(5)), so the slug's are replaced.
func SliceName(slug string) string {
	return "podbottle-" + strings.ReplaceAll(slug, "-", "_") + ".slice"
}

// services lists the sidecars of this bottle, in the order in which they are shown.
func (b *Bottle) services() []Service {
	all := []Service{Egress, Pipelock}
	if len(b.plan.GitGate.Upstreams) > 0 {
		all = append(all, GitGate)
	}
	if b.plan.Supervise != nil {
		all = append(all, Supervise)
	}
	return all
}

func configDir(s Service) string  { return path.Join(string(s), "config") }
func secretsDir(s Service) string { return path.Join(string(s), "secrets") }
func runDir(s Service) string     { return path.Join(string(s), "run") }

const handoverDir = "agent/handover"

// dataDir is where a sidecar keeps its state, an absolute host path.
func (b *Bottle) dataDir(s Service) string {
	if s == Supervise {
		return b.plan.Supervise.QueueDir
	}
	return path.Join(b.options.StateDir, string(s), "data")
}

// files renders everything that the containers read.
func (b *Bottle) files() ([]File, error) {
	set := fileSet{}
	o, plan := b.options, b.plan

	routes, err := plan.Egress.ConfigFiles()
	if err != nil {
		return nil, err
	}
	set.config(Egress, routes)
	// Where the firewall lets TLS pass through, egress verifies the upstream itself.
	set.config(Egress, map[string][]byte{egress.RootsFile: slices.Concat(o.Roots, o.ExtraCA)})
	set.secret(Egress, "ca.crt", string(o.Secrets.EgressCA.Cert))
	set.value(Egress, "ca.key", o.Secrets.EgressCA.Key)
	set.secret(Egress, "firewall-ca.crt", string(o.Secrets.FirewallCA.Cert))
	for _, slot := range slices.Sorted(maps.Keys(o.Secrets.Tokens)) {
		set.value(Egress, slot, o.Secrets.Tokens[slot])
	}

	firewall, err := plan.Pipelock.ConfigFiles()
	if err != nil {
		return nil, err
	}
	set.config(Pipelock, firewall)
	set.config(Pipelock, map[string][]byte{pipelock.RootsFile: slices.Concat(o.Roots, o.ExtraCA)})
	set.secret(Pipelock, "ca.crt", string(o.Secrets.FirewallCA.Cert))
	set.value(Pipelock, "ca.key", o.Secrets.FirewallCA.Key)
	for i, value := range b.known() {
		set.value(Pipelock, fmt.Sprintf("known/%d", i), value)
	}

	if len(plan.GitGate.Upstreams) > 0 {
		gate, err := plan.GitGate.ConfigFiles()
		if err != nil {
			return nil, err
		}
		set.config(GitGate, gate)
		for _, name := range slices.Sorted(maps.Keys(o.Secrets.Identities)) {
			set.value(GitGate, "identities/"+name, o.Secrets.Identities[name])
		}
	}

	if plan.Supervise != nil {
		current, err := plan.Supervise.ConfigFiles()
		if err != nil {
			return nil, err
		}
		set.config(Supervise, current)
	}

	set.handover("ca-bundle.crt", o.Secrets.EgressCA.Cert, false)
	set.files = append(set.files, File{Path: handoverDir + "/env", Mode: 0o444, Content: forwarded(plan)})
	home := plan.AgentProvision.GuestHome
	for _, f := range slices.Concat(plan.AgentProvision.Files, o.Home) {
		rel, ok := strings.CutPrefix(f.Path, home+"/")
		if !ok {
			return nil, fmt.Errorf("%s lies outside the agent's home %s", f.Path, home)
		}
		tree := "home/"
		switch {
		case f.Once:
			tree = "home-once/"
		case f.Merge:
			tree = "home-merge/"
		case f.Mode&0o200 == 0:
			tree = "home-read-only/"
		}
		set.handover(tree+rel, f.Content, f.Mode&0o100 != 0)
	}
	return set.files, nil
}

// known are the bottle's own secrets, which the firewall lets out nowhere: the
// agent's forwarded variables. The injected tokens are not among them, since
// they pass the firewall on every request that is meant to carry them.
func (b *Bottle) known() []secret.Value {
	var values []secret.Value
	for _, name := range b.plan.ForwardedNames {
		if v := b.plan.ForwardedEnv[name]; !v.Empty() && !slices.Contains(b.plan.AgentProvision.HiddenEnv, name) {
			values = append(values, v)
		}
	}
	return values
}

// forwarded is the agent's secret environment, NUL separated.
func forwarded(plan *resolve.Plan) secret.Value {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(plan.ForwardedEnv)) {
		text.WriteString(name + "=" + plan.ForwardedEnv[name].Reveal() + "\x00")
	}
	return secret.New(text.String())
}

// fileSet collects files. A container's uid is a subordinate one on the host, so
// a sidecar reads its secrets by its group, and what the agent and the
// configuration need is readable by all below a directory that only the user can enter.
type fileSet struct{ files []File }

func (s *fileSet) config(service Service, files map[string][]byte) {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		s.files = append(s.files, File{Path: path.Join(configDir(service), name), Mode: 0o444, Content: secret.New(string(files[name]))})
	}
}

func (s *fileSet) value(service Service, name string, v secret.Value) {
	s.files = append(s.files, File{Path: path.Join(secretsDir(service), name), Mode: 0o440, Content: v})
}

func (s *fileSet) secret(service Service, name, content string) {
	s.value(service, name, secret.New(content))
}

func (s *fileSet) handover(name string, content []byte, executable bool) {
	mode := fs.FileMode(0o444)
	if executable {
		mode = 0o555
	}
	s.files = append(s.files, File{Path: path.Join(handoverDir, name), Mode: mode, Content: secret.New(string(content))})
}
