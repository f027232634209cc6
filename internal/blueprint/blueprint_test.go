package blueprint

import (
	"fmt"
	"io/fs"
	"net/netip"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/gitgate"
	"github.com/podbottle/podbottle/internal/pipelock"
	"github.com/podbottle/podbottle/internal/provider"
	"github.com/podbottle/podbottle/internal/resolve"
	"github.com/podbottle/podbottle/internal/secret"
	"github.com/podbottle/podbottle/internal/supervise"
)

const canary = "canary-5d1f0c"

func fullPlan() *resolve.Plan {
	return &resolve.Plan{
		Spec: resolve.Spec{AgentName: "demo"}, Slug: "demo-abc12", BottleName: "web", ContainerName: "bot-bottle-demo-abc12",
		RuntimeImage: "agent:1", Literals: map[string]string{"LOG_LEVEL": "debug"},
		ForwardedEnv: map[string]secret.Value{"DB_PASSWORD": secret.New(canary)}, ForwardedNames: []string{"DB_PASSWORD"},
		Egress: egress.Plan{
			Slug:   "demo-abc12",
			Routes: []egress.Route{{Host: "api.example.org", AuthScheme: egress.SchemeBearer, TokenEnv: "EGRESS_TOKEN_0", TokenRef: "TOKEN"}},
		},
		Pipelock:       pipelock.Plan{Slug: "demo-abc12"},
		GitGate:        gitgate.Plan{Slug: "demo-abc12", Upstreams: []gitgate.Upstream{{Name: "r", URL: "ssh://git@h/r.git", User: "git", Host: "h", Port: 22, Path: "/r.git"}}},
		Supervise:      &supervise.Plan{Slug: "demo-abc12", QueueDir: "/root/queue/demo-abc12"},
		AgentProvision: provider.Plan{Template: "claude", GuestHome: "/home/node", Files: []provider.File{{Path: "/home/node/.claude.json", Mode: 0o600, Once: true}}},
	}
}

func fullOptions() Options {
	return Options{
		Images: Images{Sidecar: "sidecar:1", GitGate: "gate:1"}, Firewall: pipelock.EngineBuiltin, Runsc: true, SidecarProgram: "/data/podbottle-sidecar",
		Argv: []string{"claude"}, Terminal: true, Term: "xterm", StateDir: "/root/state/demo-abc12",
		Roots: []byte("roots"), Limits: Limits{Memory: 1 << 30, Tasks: 100},
		Secrets: Secrets{
			EgressCA: KeyPair{Cert: []byte("egress cert"), Key: secret.New(canary)}, FirewallCA: KeyPair{Cert: []byte("firewall cert"), Key: secret.New(canary)},
			Tokens: map[string]secret.Value{"EGRESS_TOKEN_0": secret.New(canary)}, Identities: map[string]secret.Value{"r": secret.New(canary)},
		},
	}
}

func full(t *testing.T) (*Bottle, []Container) {
	t.Helper()
	b, err := New(fullPlan(), fullOptions())
	if err != nil {
		t.Fatal(err)
	}
	return b, b.Containers(Addresses{Pod: netip.MustParseAddr("10.89.0.2"), Agent: netip.MustParseAddr("10.89.0.3")})
}

func TestOnlyTheAgentHasItsOwnNetwork(t *testing.T) {
	_, containers := full(t)
	for _, c := range containers {
		agent := c.Service == Agent
		if c.OwnNetwork != agent || c.Runsc != agent || c.ReadOnly == agent {
			t.Errorf("%s: own network %t, runsc %t, read-only %t", c.Service, c.OwnNetwork, c.Runsc, c.ReadOnly)
		}
		if want := map[bool]string{true: AgentUser, false: SidecarUser}[agent]; c.User != want {
			t.Errorf("%s: user %s", c.Service, c.User)
		}
	}
}

func TestNoSecretIsInAContainersDescription(t *testing.T) {
	b, containers := full(t)
	for _, c := range containers {
		if text := fmt.Sprintf("%+v", c); strings.Contains(text, canary) {
			t.Errorf("%s: a secret is in its description: %s", c.Service, text)
		}
	}
	if text := fmt.Sprintf("%+v", *b); strings.Contains(text, canary) {
		t.Error("a secret is in the bottle's printed form")
	}
}

func TestSecretsReachTheirSidecarAlone(t *testing.T) {
	b, containers := full(t)
	owners := map[string]Service{
		"egress/secrets/EGRESS_TOKEN_0": Egress, "egress/secrets/ca.key": Egress, "pipelock/secrets/ca.key": Pipelock,
		"git-gate/secrets/identities/r": GitGate, "agent/handover/env": Agent,
	}
	for file, owner := range owners {
		if !slices.ContainsFunc(b.Files, func(f File) bool { return f.Path == file }) {
			t.Errorf("%s is missing", file)
		}
		for _, c := range containers {
			mounted := slices.ContainsFunc(c.Mounts, func(m Mount) bool { return m.Type == MountBind && strings.HasPrefix(file, m.Source+"/") })
			if mounted != (c.Service == owner) {
				t.Errorf("%s: mounted into %s: %t", file, c.Service, mounted)
			}
		}
	}
}

func TestFilesAreNotWritable(t *testing.T) {
	b, containers := full(t)
	for _, f := range b.Files {
		if f.Mode&^fs.FileMode(0o555) != 0 || path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path {
			t.Errorf("file %s has mode %v", f.Path, f.Mode)
		}
	}
	for _, c := range containers {
		for _, m := range c.Mounts {
			if m.Type == MountBind && !m.ReadOnly && !slices.Contains(b.Dirs, m.Source) {
				t.Errorf("%s: %s is mounted writable", c.Service, m.Source)
			}
		}
	}
}

func TestAgentReachesOnlyDeclaredServices(t *testing.T) {
	plan := fullPlan()
	plan.GitGate.Upstreams, plan.Supervise = nil, nil
	b, err := New(plan, fullOptions())
	if err != nil {
		t.Fatal(err)
	}
	containers := b.Containers(Addresses{Pod: netip.MustParseAddr("10.89.0.2"), Agent: netip.MustParseAddr("10.89.0.3")})
	agent := containers[len(containers)-1]
	if len(containers) != 3 || len(agent.Hosts) != 1 || agent.Hosts[0].Name != "egress" {
		t.Errorf("%d containers, hosts %v", len(containers), agent.Hosts)
	}
	if len(agent.DNS) != 1 || agent.DNS[0].String() != "10.89.0.2" {
		t.Errorf("resolvers %v", agent.DNS)
	}
}

func TestAddressesOf(t *testing.T) {
	a, err := AddressesOf(netip.MustParsePrefix("10.89.7.0/24"))
	if err != nil || a.Pod.String() != "10.89.7.2" || a.Agent.String() != "10.89.7.3" {
		t.Errorf("addresses are %+v, %v", a, err)
	}
	if _, err := AddressesOf(netip.MustParsePrefix("10.89.7.0/30")); err == nil {
		t.Error("a subnet without room for the agent was accepted")
	}
}

func TestSliceNameDoesNotNest(t *testing.T) {
	if got := SliceName("a-b-c1"); strings.Count(got, "-") != 1 {
		t.Errorf("%s nests deeper than podbottle.slice", got)
	}
}

func TestAgentWithoutCommandIsRefused(t *testing.T) {
	o := fullOptions()
	o.Argv = nil
	if _, err := New(fullPlan(), o); err == nil {
		t.Error("accepted")
	}
}

// Whatever a bottle says of proxies, the agent reaches the sidecars without one.
func TestSidecarsAreReachedDirectly(t *testing.T) {
	for _, own := range []string{"", "*.example.org"} {
		plan := fullPlan()
		if own != "" {
			plan.Literals["no_proxy"], plan.Literals["NO_PROXY"] = own, own
		}
		b, err := New(plan, fullOptions())
		if err != nil {
			t.Fatal(err)
		}
		all := b.Containers(Addresses{Pod: netip.MustParseAddr("10.89.0.2"), Agent: netip.MustParseAddr("10.89.0.3")})
		env := all[len(all)-1].Env
		for _, name := range []string{"NO_PROXY", "no_proxy"} {
			for _, want := range []string{own, supervise.ServerName, "git-gate", "127.0.0.1"} {
				if want != "" && !slices.Contains(strings.Split(env[name], ","), want) {
					t.Errorf("%s is %q, without %s", name, env[name], want)
				}
			}
		}
	}
}
