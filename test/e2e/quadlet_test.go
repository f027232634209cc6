//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/podbottle/podbottle/internal/sshdtest"
)

// unitToken is the credential of the bottles in these tests.
const unitToken = "unit-token-5f0c7e"

// unitTree is a tree with an agent "worker" whose bottle has a token for
// upstream.test, a forwarded variable, and supervise.
func unitTree(t testing.TB, up *upstream) *tree {
	t.Helper()
	tr := newTree(t, map[string]string{
		"agents/worker.md": "---\nbottle: web\n---\nYou work.\n",
		"bottles/web.md": `---
agent_provider:
  template: command
  image: ` + agentImage + `
  command: [bash]
env:
  GREETING: "100% of $HOME, \"quoted\""
  DB_PASSWORD: ${UNIT_PASSWORD}
supervise: true
egress:
  routes:
    - host: upstream.test
      auth: {scheme: Bearer, token_ref: UNIT_TOKEN}
      pipelock:
        ssrf_ip_allowlist: [203.0.113.0/24]
    - host: api.upstream.test
      path_allowlist: [/v1/]
      pipelock:
        ssrf_ip_allowlist: [203.0.113.0/24]
---
`,
	})
	tr.env = []string{"UNIT_TOKEN=" + unitToken, "UNIT_PASSWORD=unit-password-2b9d", "BOT_BOTTLE_EXTRA_CA_CERTS=" + up.caFile}
	return tr
}

// install installs the worker under a name, and uninstalls it at the test's end.
func (tr *tree) install(t testing.TB, name string, args ...string) {
	t.Helper()
	args = append([]string{"quadlet", "install", "worker", "--name", name, "--firewall=builtin", "--yes"}, args...)
	t.Cleanup(func() {
		if slices.Contains(lines(tr.podbottle("quadlet", "list", "--format", "{{.Name}}").succeed(t)), name) {
			tr.podbottle("quadlet", "uninstall", name, "--yes").succeed(t)
		}
	})
	tr.podbottle(args...).succeed(t)
}

// inBottle runs a shell script beside the agent and returns all that it printed.
func (tr *tree) inBottle(t testing.TB, name, script string) string {
	t.Helper()
	r := tr.podbottle("exec", name, "--", "bash", "-c", script).run(t)
	return r.stdout + r.stderr
}

func TestUnitsHoldABottle(t *testing.T) {
	leavesNothing(t)
	up := startUpstream(t, upstreamIP+":443", nil)
	other := startUpstream(t, otherIP+":443", nil)
	tr := unitTree(t, up)
	tr.install(t, "e2e-unit", "--memory=512m", "--pids-limit=300", "--cpus=1.5")
	tr.podbottle("quadlet", "start", "e2e-unit").succeed(t)

	t.Run("list shows it", func(t *testing.T) {
		if got := tr.podbottle("list", "--format", "{{.Slug}} {{.Status}} {{.Runtime}}").succeed(t); got != "e2e-unit running runsc" {
			t.Errorf("podbottle list: %q", got)
		}
		if got := tr.podbottle("quadlet", "list", "--format", "{{.Name}} {{.Agent}} {{.Form}} {{.Active}}").succeed(t); got != "e2e-unit worker terminal active" {
			t.Errorf("podbottle quadlet list: %q", got)
		}
	})
	t.Run("the agent is sealed", func(t *testing.T) { checkSealed(t, tr, up, other) })
	t.Run("limits are the unit's", func(t *testing.T) {
		// The test host has no controllers that would enforce them.
		got := command{argv: []string{"systemctl", "--user", "show", "bot-bottle-e2e-unit-agent.service", "--property=MemoryMax,MemorySwapMax,TasksMax,CPUQuotaPerSecUSec"}}.succeed(t)
		if diff := cmp.Diff([]string{"CPUQuotaPerSecUSec=1.500000s", "MemoryMax=536870912", "MemorySwapMax=0", "TasksMax=300"}, lines(got)); diff != "" {
			t.Errorf("limits (-want +got):\n%s", diff)
		}
		// They hold for the sandbox where its processes are in the unit's cgroup.
		cgroup := command{argv: []string{"systemctl", "--user", "show", "bot-bottle-e2e-unit-agent.service", "--property=ControlGroup", "--value"}}.succeed(t)
		pid := podman(t, "inspect", "bot-bottle-e2e-unit", "--format", "{{.State.Pid}}")
		if own := readFile(t, filepath.Join("/proc", pid, "cgroup")); cgroup == "" || !strings.Contains(own, cgroup) {
			t.Errorf("the agent's sandbox is in %q and its unit in %q", own, cgroup)
		}
	})
	t.Run("podbottle verify", func(t *testing.T) {
		if r := tr.podbottle("verify", "e2e-unit").run(t); r.status != 0 {
			t.Errorf("status %d\n%s%s", r.status, r.stdout, r.stderr)
		}
	})
	t.Run("no secret shows", func(t *testing.T) { checkNoSecretShows(t, tr) })
	t.Run("variables arrive as they were written", func(t *testing.T) {
		if got := tr.inBottle(t, "e2e-unit", `echo "$GREETING/$DB_PASSWORD"`); got != "100% of $HOME, \"quoted\"/unit-password-2b9d\n" {
			t.Errorf("the agent has %q", got)
		}
	})
	t.Run("approvals", func(t *testing.T) { checkApproval(t, tr, "e2e-unit", up) })
	t.Run("sidecars come back", func(t *testing.T) { checkSidecarsComeBack(t, tr, up) })
	t.Run("reload", func(t *testing.T) {
		before := podman(t, "inspect", "bot-bottle-e2e-unit", "--format", "{{.Id}}")
		command{argv: []string{"systemctl", "--user", "daemon-reload"}}.succeed(t)
		if after := podman(t, "inspect", "bot-bottle-e2e-unit", "--format", "{{.Id}}"); after != before {
			t.Error("daemon-reload replaced the agent's container")
		}
	})
	t.Run("refresh", func(t *testing.T) { checkRefresh(t, tr, up) })
	t.Run("the infra container is killed", func(t *testing.T) { checkInfraKilled(t, tr) })
	t.Run("verbs of live bottles", func(t *testing.T) { checkVerbs(t, tr) })
	t.Run("podman system renumber", func(t *testing.T) {
		podman(t, "system", "renumber")
		tr.podbottle("quadlet", "start", "e2e-unit").succeed(t)
		if got := tr.inBottle(t, "e2e-unit", "curl -sS https://upstream.test/"); got != "upstream\n" {
			t.Errorf("afterwards: %q", got)
		}
	})
}

// checkSealed is what the live bottle's tests ask of its agent.
func checkSealed(t *testing.T, tr *tree, up, other *upstream) {
	if got := tr.inBottle(t, "e2e-unit", "cat /proc/version"); !strings.Contains(got, "gvisor") {
		t.Errorf("the agent's kernel is %q", got)
	}
	if got := tr.inBottle(t, "e2e-unit", "curl -sS --noproxy '*' --max-time 30 http://"+upstreamIP+"/"); !strings.Contains(got, "connect") {
		t.Errorf("a literal address: %q", got)
	}
	if got := tr.inBottle(t, "e2e-unit", "cut -f2,8 /proc/net/route"); strings.Contains(got, "00000000\t00000000") {
		t.Errorf("there is a default route:\n%s", got)
	}
	if got := tr.inBottle(t, "e2e-unit", "curl -sS -o /dev/null -w '%{http_connect} %{http_code}' https://other.upstream.test/"); !strings.Contains(got, "403") || len(other.requests()) != 0 {
		t.Errorf("a host that is not listed: %q, and it saw %d requests", got, len(other.requests()))
	}
	got := tr.inBottle(t, "e2e-unit", "curl -sS https://upstream.test/hello")
	seen := up.requests()
	if got != "upstream\n" || len(seen) != 1 || seen[0].header.Get("Authorization") != "Bearer "+unitToken {
		t.Errorf("the host that is listed: %q, and it saw %+v", got, seen)
	}
}

// checkNoSecretShows looks for the token where a user of the host, or the agent,
// could come across it.
func checkNoSecretShows(t *testing.T, tr *tree) {
	inside := tr.podbottle("exec", "e2e-unit", "--", "bash", "-c", searchAgent)
	inside.stdin = unitToken + "\n"
	if got := strings.TrimSpace(inside.run(t).stdout); got != "0" {
		t.Errorf("the token is %s times in the agent", got)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	all := podman(t, "pod", "inspect", "bot-bottle-e2e-unit-pod") + podman(t, append([]string{"inspect"}, lines(podman(t, "ps", "--all", "--format", "{{.Names}}"))...)...)
	all += command{argv: []string{"journalctl", "--user", "--quiet", "--output=export"}}.succeed(t)
	all += command{argv: []string{"bash", "-c", `cat /proc/[0-9]*/cmdline | tr '\0' ' '`}}.run(t).stdout
	for _, dir := range []string{filepath.Join(home, ".config"), tr.root, filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "systemd")} {
		all += command{argv: []string{"grep", "-rshF", "--", unitToken, dir}}.run(t).stdout
	}
	if strings.Contains(all, unitToken) {
		t.Error("the token shows in inspect, the journal, a command line, the units or the state tree")
	}
}

// checkSidecarsComeBack kills one sidecar after the other. Meanwhile the agent
// has no way out; afterwards it has the same as before.
func checkSidecarsComeBack(t *testing.T, tr *tree, up *upstream) {
	seen := len(up.requests())
	for _, service := range []string{"egress", "pipelock", "supervise"} {
		name := "bot-bottle-e2e-unit-" + service
		before := podman(t, "inspect", name, "--format", "{{.State.Pid}}")
		agent := podman(t, "inspect", "bot-bottle-e2e-unit", "--format", "{{.State.Pid}}")
		command{argv: []string{"kill", "-KILL", before}}.succeed(t)
		if got := tr.inBottle(t, "e2e-unit", "curl -sS --noproxy '*' --max-time 30 http://"+upstreamIP+"/"); !strings.Contains(got, "connect") {
			t.Errorf("without %s, a literal address: %q", service, got)
		}
		eventually(t, service+" is back", func() bool {
			r := command{argv: []string{"podman", "inspect", name, "--format", "{{.State.Pid}} {{.State.Running}}"}}.run(t)
			pid, running, _ := strings.Cut(strings.TrimSpace(r.stdout), " ")
			return r.status == 0 && pid != before && running == "true"
		})
		eventually(t, "the way out is back after "+service, func() bool {
			return tr.inBottle(t, "e2e-unit", "curl -sS --max-time 60 https://upstream.test/") == "upstream\n"
		})
		if after := podman(t, "inspect", "bot-bottle-e2e-unit", "--format", "{{.State.Pid}}"); after != agent {
			t.Errorf("the agent was started again when %s was killed", service)
		}
	}
	for _, r := range up.requests()[seen:] {
		if r.header.Get("Authorization") != "Bearer "+unitToken {
			t.Errorf("a request went out as %+v", r)
		}
	}
}

// checkInfraKilled takes the network of all sidecars away. systemd makes the whole
// bottle anew, and what the agent had written is there.
func checkInfraKilled(t *testing.T, tr *tree) {
	tr.inBottle(t, "e2e-unit", "echo kept > ~/kept")
	pod := podman(t, "pod", "inspect", "bot-bottle-e2e-unit-pod", "--format", "{{.ID}}")
	command{argv: []string{"kill", "-KILL", podman(t, "inspect", "bot-bottle-e2e-unit-infra", "--format", "{{.State.Pid}}")}}.succeed(t)
	eventually(t, "the pod is made anew", func() bool {
		r := command{argv: []string{"podman", "pod", "inspect", "bot-bottle-e2e-unit-pod", "--format", "{{.ID}}"}}.run(t)
		return r.status == 0 && strings.TrimSpace(r.stdout) != pod
	})
	eventually(t, "the agent is back", func() bool {
		return tr.inBottle(t, "e2e-unit", "cat ~/kept; curl -sS --max-time 60 https://upstream.test/") == "kept\nupstream\n"
	})
	if got := tr.inBottle(t, "e2e-unit", "curl -sS --noproxy '*' --max-time 30 http://"+upstreamIP+"/"); !strings.Contains(got, "connect") {
		t.Errorf("afterwards, a literal address: %q", got)
	}
}

// checkRefresh changes the host's token.
func checkRefresh(t *testing.T, tr *tree, up *upstream) {
	agent := podman(t, "inspect", "bot-bottle-e2e-unit", "--format", "{{.Id}}")
	refresh := tr.podbottle("quadlet", "refresh", "e2e-unit")
	refresh.env = append(slices.Clone(refresh.env), "UNIT_TOKEN=rotated-token-81aa")
	refresh.succeed(t)
	if got := tr.inBottle(t, "e2e-unit", "curl -sS https://upstream.test/"); got != "upstream\n" {
		t.Errorf("after the refresh: %q", got)
	}
	seen := up.requests()
	if got := seen[len(seen)-1].header.Get("Authorization"); got != "Bearer rotated-token-81aa" {
		t.Errorf("the upstream saw %q", got)
	}
	if podman(t, "inspect", "bot-bottle-e2e-unit", "--format", "{{.Id}}") != agent {
		t.Error("refresh started the agent again")
	}
}

// checkVerbs uses the verbs of live bottles on one of systemd's.
func checkVerbs(t *testing.T, tr *tree) {
	if got := tr.podbottle("quadlet", "diff", "e2e-unit").run(t); got.status != 0 || got.stdout != "" {
		t.Errorf("diff: status %d\n%s%s", got.status, got.stdout, got.stderr)
	}
	if r := tr.podbottle("logs", "e2e-unit", "--service", "egress").run(t); r.status != 0 || !strings.Contains(r.stdout+r.stderr, "upstream.test") {
		t.Errorf("podbottle logs: %+v", r)
	}
	if got := tr.podbottle("quadlet", "logs", "e2e-unit", "--service", "pipelock").succeed(t); !strings.Contains(got, "bot-bottle-e2e-unit-pipelock") {
		t.Errorf("podbottle quadlet logs: %q", got)
	}
	tagged := command{argv: []string{"journalctl", "--user", "--quiet", "--lines=1", "--output=cat", "CONTAINER_TAG=e2e-unit"}}.succeed(t)
	if tagged == "" {
		t.Error("no line in the journal has the slug as its CONTAINER_TAG")
	}
	tr.inBottle(t, "e2e-unit", "echo copied > ~/to-copy")
	tr.podbottle("cp", "e2e-unit:to-copy", "here").succeed(t)
	if got := readFile(t, filepath.Join(tr.cwd, "here")); got != "copied\n" {
		t.Errorf("podbottle cp: %q", got)
	}
	if got := tr.podbottle("audit", "e2e-unit").succeed(t); !strings.Contains(got, "upstream.test") {
		t.Errorf("podbottle audit: %q", got)
	}
	tr.podbottle("audit", "verify", "e2e-unit").succeed(t)
	for _, args := range [][]string{{"stop", "--discard", "e2e-unit"}, {"resume", "e2e-unit", "--yes"}} {
		if r := tr.podbottle(args...).run(t); r.status == 0 || !strings.Contains(r.stderr, "quadlet") {
			t.Errorf("%v: status %d, %q", args, r.status, r.stderr)
		}
	}
	if r := tr.podbottle("cleanup", "--all", "--dry-run").run(t); strings.Contains(r.stderr, "e2e-unit") {
		t.Errorf("cleanup would remove what is systemd's:\n%s", r.stderr)
	}
	tr.podbottle("stop", "e2e-unit").succeed(t)
	wants(t, tr.podbottle("quadlet", "refresh", "e2e-unit").run(t).stderr, "when it is started next")
	for kind, names := range hostObjects(t) {
		for _, name := range names {
			kept := kind == "secret" || name == "bot-bottle-e2e-unit-home" || kind == "unit"
			if strings.Contains(name, "e2e-unit") && !kept {
				t.Errorf("after stop there is the %s %s", kind, name)
			}
		}
	}
	if r := tr.podbottle("cleanup", "--all", "--dry-run").run(t); strings.Contains(r.stderr, "e2e-unit") {
		t.Errorf("cleanup would remove what is systemd's:\n%s", r.stderr)
	}
}

func TestHeadlessUnit(t *testing.T) {
	leavesNothing(t)
	tr := unitTree(t, startUpstream(t, upstreamIP+":443", nil))
	// The stand-in of an authority's key, as it was once written.
	const prompt = "minted at each start: egress.key"
	writeFile(t, filepath.Join(tr.root, "agents/worker.md"), "---\nbottle: web\n---\n"+prompt+"\n")
	tr.install(t, "e2e-job", "--headless", "--prompt", "echo answer $(cat ~/.bot-bottle-prompt.txt); echo oops >&2; exit 3")
	if r := tr.podbottle("quadlet", "start", "e2e-job").run(t); r.status != 3 {
		t.Errorf("start: status %d instead of the agent's 3\n%s", r.status, r.stderr)
	}
	answer := filepath.Join(tr.root, "state", "e2e-job", "answer.txt")
	if got := readFile(t, answer); got != "answer "+prompt+"\n" {
		t.Errorf("the answer is %q", got)
	}
	if got := tr.podbottle("quadlet", "logs", "e2e-job", "--service", "agent").succeed(t); !strings.Contains(got, "answer") || !strings.Contains(got, "oops") {
		t.Errorf("the journal has no answer:\n%s", got)
	}
	eventually(t, "nothing runs after the agent", func() bool {
		return podman(t, "pod", "ps", "--quiet", "--filter", "name=bot-bottle-e2e-job-pod") == ""
	})

	tr.install(t, "e2e-job", "--headless", "--prompt", "echo by the timer", "--on-calendar", "*:*:0/5")
	eventually(t, "the timer runs the agent", func() bool { return holds(answer, "by the timer\n") })
	command{argv: []string{"systemctl", "--user", "stop", "bot-bottle-e2e-job.timer"}}.succeed(t)
}

// TestUnitsMakeTheLiveBottle compares what Podman says of a live bottle with what
// it says of the same one as units.
func TestUnitsMakeTheLiveBottle(t *testing.T) {
	leavesNothing(t)
	tr := unitTree(t, startUpstream(t, upstreamIP+":443", nil))
	services := []string{"", "-egress", "-pipelock", "-supervise", "-git-gate"}
	key := filepath.Join(tr.cwd, "key")
	if err := sshdtest.MakeKey(key); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(tr.root, "config.yaml"), gitConfig)
	manifest := filepath.Join(tr.root, "bottles/web.md")
	writeFile(t, manifest, strings.Replace(readFile(t, manifest), "supervise: true\n",
		"supervise: true\ngit-gate:\n  repos:\n    app: {url: 'ssh://git@git.upstream.test/app.git', identity: '"+key+"'}\n", 1))

	slug := tr.podbottle("start", "worker", "--detach", "--yes", "--firewall=builtin").succeed(t)
	t.Cleanup(func() { tr.podbottle("stop", "--discard", slug).run(t) })
	live := map[string]view{}
	for _, s := range services {
		live[s] = inspected(t, slug, s)
	}
	liveNetworks := networks(t, slug)
	tr.podbottle("stop", "--discard", slug).succeed(t)

	tr.install(t, "e2e-same")
	tr.podbottle("quadlet", "start", "e2e-same").succeed(t)
	for _, s := range services {
		if diff := cmp.Diff(live[s], inspected(t, "e2e-same", s)); diff != "" {
			t.Errorf("container %q differs (-live +units):\n%s", s, diff)
		}
	}
	if diff := cmp.Diff(liveNetworks, networks(t, "e2e-same")); diff != "" {
		t.Errorf("networks differ (-live +units):\n%s", diff)
	}
}

// view is what Podman says of a container, without what differs by nature: names,
// addresses, times, the place of its logs, and the cgroup, which is the unit's own.
type view struct {
	OCIRuntime                  string
	EffectiveCaps, BoundingCaps []string
	Mounts                      []mountView
	Path                        string
	Args                        []string
	Config                      configView
	HostConfig                  hostConfigView
	Networks                    []string `json:"-"`
}

type mountView struct {
	Type, Source, Destination, Propagation string
	RW                                     bool
	Options                                []string
}

type configView struct {
	Hostname, User, WorkingDir, StopSignal string
	Tty, OpenStdin                         bool
	Env, Cmd, Entrypoint                   []string
	Labels                                 map[string]string
	Healthcheck                            struct{ Test []string }
	StopTimeout, Timeout                   int
}

type hostConfigView struct {
	NetworkMode, IpcMode, PidMode, UTSMode, CgroupMode, UsernsMode string
	Privileged, ReadonlyRootfs, Init, PublishAllPorts              bool
	CapAdd, CapDrop, SecurityOpt, Dns, DnsSearch, GroupAdd         []string
	ExtraHosts                                                     []string
	Tmpfs                                                          map[string]string
	Devices                                                        []any
	PidsLimit, Memory, NanoCpus, ShmSize                           int64
	Ulimits                                                        []any
}

func inspected(t testing.TB, slug, service string) view {
	t.Helper()
	name := "bot-bottle-" + slug + service
	text := podman(t, "inspect", name)
	address := func(container string) string {
		return podman(t, "inspect", container, "--format", fmt.Sprintf(`{{(index .NetworkSettings.Networks "bot-bottle-%s-internal").IPAddress}}`, slug))
	}
	text = strings.NewReplacer(
		address("bot-bottle-"+slug), "AGENT", address("bot-bottle-"+slug+"-infra"), "POD", slug, "SLUG",
	).Replace(text)
	var all []struct {
		view
		NetworkSettings struct{ Networks map[string]any }
	}
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatal(err)
	}
	v := all[0].view
	for network := range all[0].NetworkSettings.Networks {
		v.Networks = append(v.Networks, network)
	}
	if service != "" {
		v.Config.Hostname = "" // random
		v.Config.Env = slices.DeleteFunc(v.Config.Env, func(e string) bool { return strings.HasPrefix(e, "HOSTNAME=") })
	}
	slices.Sort(v.Networks)
	slices.Sort(v.Config.Env)
	slices.Sort(v.HostConfig.SecurityOpt)
	for i := range v.Mounts {
		slices.Sort(v.Mounts[i].Options)
	}
	slices.SortFunc(v.Mounts, func(a, b mountView) int { return strings.Compare(a.Destination, b.Destination) })
	delete(v.Config.Labels, "PODMAN_SYSTEMD_UNIT")
	if strings.HasPrefix(v.HostConfig.NetworkMode, "container:") {
		v.HostConfig.NetworkMode = "the pod's"
	}
	return v
}

func networks(t testing.TB, slug string) string {
	t.Helper()
	text := podman(t, "network", "inspect", "bot-bottle-"+slug+"-internal", "bot-bottle-"+slug+"-uplink", "--format",
		"{{.Name}} {{.Driver}} internal={{.Internal}} dns={{.DNSEnabled}} ipv6={{.IPv6Enabled}} {{.Options}} {{.Labels}} {{len .Subnets}}")
	return strings.ReplaceAll(text, slug, "SLUG")
}

// patience is how long eventually waits. What it waits for takes much less, on a busy
// machine too.
const patience = 5 * time.Minute

// eventually waits until something is so.
func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if so() {
			return
		}
	}
	t.Fatalf("it did not come about that %s", what)
}

// holds tells whether a file is there and has this content.
func holds(file, content string) bool {
	got, err := os.ReadFile(file)
	return err == nil && string(got) == content
}
