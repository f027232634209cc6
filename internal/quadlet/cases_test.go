package quadlet

import (
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/blang/semver/v4"

	"github.com/podbottle/podbottle/internal/blueprint"
	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/gitgate"
	"github.com/podbottle/podbottle/internal/pipelock"
	"github.com/podbottle/podbottle/internal/provider"
	"github.com/podbottle/podbottle/internal/resolve"
	"github.com/podbottle/podbottle/internal/secret"
	"github.com/podbottle/podbottle/internal/supervise"
)

// canary is every secret of the test bottles.
const canary = "canary-93be71"

// inputs are what a test bottle is made from.
type inputs struct {
	plan    *resolve.Plan
	options blueprint.Options
	units   Options
}

// demo is an agent of Claude Code with one route that has a token.
func demo() inputs {
	egressCA, firewallCA := Authorities()
	return inputs{
		plan: &resolve.Plan{
			Spec: resolve.Spec{AgentName: "fixer"}, Slug: "fixer", BottleName: "web", ContainerName: "bot-bottle-fixer",
			RuntimeImage: "localhost/bot-bottle-claude:latest", WorkDir: "/home/node", Literals: map[string]string{},
			Egress: egress.Plan{
				Slug:      "fixer",
				Routes:    []egress.Route{{Host: "api.example.org", AuthScheme: egress.SchemeBearer, TokenEnv: "EGRESS_TOKEN_0", TokenRef: "TOKEN"}},
				TokenRefs: map[string]string{"EGRESS_TOKEN_0": "TOKEN"},
			},
			Pipelock:       pipelock.Plan{Slug: "fixer"},
			GitGate:        gitgate.Plan{Slug: "fixer"},
			AgentProvision: provider.Plan{Template: "claude", GuestHome: "/home/node", Command: []string{"claude"}},
		},
		options: blueprint.Options{
			Images: blueprint.Images{Sidecar: "localhost/podbottle-sidecar:0123456789abcdef"}, Firewall: pipelock.EngineBuiltin, Runsc: true,
			SidecarProgram: "/home/dev/.local/share/podbottle/podbottle-sidecar-0123456789abcdef",
			Argv:           []string{"claude", "--dangerously-skip-permissions"}, Terminal: true, Term: "xterm-256color",
			StateDir: "/home/dev/.bot-bottle/state/fixer", Roots: []byte("roots"),
			Limits: blueprint.Limits{Memory: 4 << 30, Tasks: 8192},
			Secrets: blueprint.Secrets{
				EgressCA: egressCA, FirewallCA: firewallCA,
				Tokens: map[string]secret.Value{"EGRESS_TOKEN_0": secret.New(canary)},
			},
		},
		units: Options{
			Podman: semver.MustParse("5.4.2"), Program: "/home/dev/.local/bin/podbottle",
			Home: "/home/dev", RuntimeRoot: "/run/user/1000", Subnet: netip.MustParsePrefix("10.201.7.0/24"),
			Runtime: "/home/dev/.local/share/podbottle/runsc", Seccomp: "/home/dev/.local/share/podbottle/seccomp.json", Pids: true,
		},
	}
}

// bottles are the cases of the golden test, by name.
func bottles() map[string]func(*inputs) {
	return map[string]func(*inputs){
		"terminal": func(*inputs) {},
		"podman-5.5": func(in *inputs) {
			in.units.Podman = semver.MustParse("5.5.0")
		},
		"podman-5.6": func(in *inputs) {
			in.units.Podman = semver.MustParse("5.6.2")
		},
		"podman-5.7": func(in *inputs) {
			in.units.Podman = semver.MustParse("5.7.0")
		},
		"podman-6.0": func(in *inputs) {
			in.units.Podman = semver.MustParse("6.0.0")
		},
		"crun": func(in *inputs) {
			in.options.Runsc, in.units.Runtime = false, ""
		},
		"no-pids-controller": func(in *inputs) {
			in.units.Pids = false
		},
		"selinux": func(in *inputs) {
			in.units.SELinux = true
		},
		"no-limits": func(in *inputs) {
			in.options.Limits = blueprint.Limits{}
		},
		"cpu-limit": func(in *inputs) {
			in.options.Limits = blueprint.Limits{Memory: 512 << 20, Tasks: 100, CPUQuota: 1500 * time.Millisecond}
		},
		"no-routes": func(in *inputs) {
			in.plan.Egress.Routes, in.options.Secrets.Tokens = nil, nil
		},
		"git-key": func(in *inputs) {
			in.plan.GitGate.Upstreams = []gitgate.Upstream{{Name: "app", URL: "ssh://git@git.example.org/app.git", User: "git", Host: "git.example.org", Port: 22, Path: "/app.git", IdentityFile: "/home/dev/.ssh/id"}}
			in.options.Images.GitGate = "localhost/podbottle-git-gate:0123456789abcdef"
			in.options.Secrets.Identities = map[string]secret.Value{"app": secret.New(canary)}
		},
		"git-agent": func(in *inputs) {
			in.plan.GitGate.Upstreams = []gitgate.Upstream{{Name: "app", URL: "ssh://git@git.example.org/app.git", User: "git", Host: "git.example.org", Port: 22, Path: "/app.git", SSHAgent: true}}
			in.options.Images.GitGate = "localhost/podbottle-git-gate:0123456789abcdef"
			in.options.SSHAuthSock = "/run/user/1000/openssh_agent"
		},
		"supervise": func(in *inputs) {
			in.plan.Supervise = &supervise.Plan{Slug: "fixer", QueueDir: "/home/dev/.bot-bottle/queue/fixer", OnApproval: supervise.DefaultWait}
		},
		"everything": func(in *inputs) {
			for _, name := range []string{"git-key", "supervise", "forwarded"} {
				bottles()[name](in)
			}
		},
		"forwarded": func(in *inputs) {
			in.plan.ForwardedEnv = map[string]secret.Value{"DB_PASSWORD": secret.New(canary), "EMPTY": {}}
			in.plan.ForwardedNames = []string{"DB_PASSWORD", "EMPTY"}
		},
		"pipelock-image": func(in *inputs) {
			in.options.Firewall, in.options.Images.Firewall = pipelock.EnginePipelock, pipelock.DefaultImage
		},
		"pipelock-binary": func(in *inputs) {
			in.options.Firewall, in.options.FirewallBinary = pipelock.EnginePipelock, "/usr/local/bin/pipelock"
		},
		"headless": func(in *inputs) {
			in.options.Terminal = false
			in.options.Argv = append(in.options.Argv, "--print")
			in.units.Headless = &Headless{Prompt: "/home/dev/.bot-bottle/state/fixer/units/prompt.txt", Answer: "/home/dev/.bot-bottle/state/fixer/answer.txt"}
		},
		"timer": func(in *inputs) {
			bottles()["headless"](in)
			in.units.Headless.OnCalendar = "Mon..Fri 07:30"
		},
		"own-image": func(in *inputs) {
			in.plan.RuntimeImage = "localhost/bot-bottle-fixer:latest"
			context := "/home/dev/.bot-bottle/state/fixer/units/build"
			in.units.Build = &Build{
				Image: in.plan.RuntimeImage, Context: context, Containerfile: context + "/Dockerfile",
				Labels: map[string]string{"io.podbottle.slug": "fixer"}, Args: map[string]string{"BASE": "debian:trixie"},
			}
		},
		"state-elsewhere": func(in *inputs) {
			in.options.StateDir, in.units.StateRoot = "/srv/bottles/state/fixer", "/srv/bottles"
			in.plan.Supervise = &supervise.Plan{Slug: "fixer", QueueDir: "/srv/bottles/queue/fixer"}
		},
		"home-with-blanks": func(in *inputs) {
			in.units.Home = "/home/Ann O'Neil"
			in.options.StateDir = in.units.Home + "/my bottles/state/fixer"
			in.options.SidecarProgram = in.units.Home + "/.local/share/podbottle/podbottle-sidecar-0123456789abcdef"
			in.units.Program = in.units.Home + "/bin/podbottle"
			in.units.StateRoot = in.units.Home + "/my bottles"
			in.units.Runtime = in.units.Home + "/.local/my share/runsc"
			in.units.Seccomp = in.units.Home + "/.local/my share/seccomp.json"
			in.units.Headless = &Headless{Prompt: in.options.StateDir + "/units/prompt.txt", Answer: in.options.StateDir + "/answer.txt"}
		},
		"awkward-values": func(in *inputs) {
			in.plan.Literals = map[string]string{
				"PERCENT": "100%h %% %n", "DOLLAR": "$HOME ${PATH} $$", "QUOTES": `say "it's"`, "BACKSLASH": `C:\new\table\`,
				"LINES": "one\ntwo\n\tthree", "EMPTY": "", "SECTION": "x\n[Service]\nExecStartPre=/bin/false", "SEMICOLON": "a ; b", "UMLAUT": "ä\u2028ö",
				"CONTINUED": "a \\", "COMMENT": "# no ; comment", "BELL": "\a\x1b[31m",
			}
			in.options.Argv = []string{"agent", "--say", "it's 100% of $HOME; \"really\"\n[Service]", "-", "%n", "$$", "'", `\`}
		},
	}
}

// names of the cases, sorted.
func names() []string { return slices.Sorted(maps.Keys(bottles())) }

func build(t testing.TB, change func(*inputs)) (*blueprint.Bottle, Options) {
	t.Helper()
	in := demo()
	change(&in)
	b, err := blueprint.New(in.plan, in.options)
	if err != nil {
		t.Fatal(err)
	}
	return b, in.units
}
