//go:build e2e

package e2e

import (
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// needGVisor are the probes that a bottle under crun cannot hold in the test host,
// which has no pids controller.
var needGVisor = []string{"kernel.seen", "limits.tasks"}

// verified runs podbottle verify, or the one that breaks its bottle, and returns the
// probes with each outcome, and what those saw that did not hold.
func verified(t *testing.T, u *user, program, breakage string, args ...string) (held bool, outcomes map[string][]string, seen map[string]string) {
	t.Helper()
	cmd := u.podbottle(append([]string{"verify", "--format", "json"}, args...)...)
	cmd.argv[0] = program
	cmd.env = append(cmd.env, "PODBOTTLE_BREAK="+breakage)
	r := cmd.run(t)
	var report struct {
		Held   bool
		Probes []struct{ ID, Outcome, Seen string }
	}
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
		t.Fatalf("%v\n%s%s", err, r.stdout, r.stderr)
	}
	if wanted := map[bool]int{true: 0, false: 1}[report.Held]; r.status != wanted {
		t.Errorf("held is %t and the status %d", report.Held, r.status)
	}
	outcomes, seen = map[string][]string{}, map[string]string{}
	for _, p := range report.Probes {
		if p.Outcome != "held" {
			t.Logf("%s: %s: %s", p.ID, p.Outcome, p.Seen)
			seen[p.ID] += p.Seen + "\n"
		}
		if !slices.Contains(outcomes[p.Outcome], p.ID) {
			outcomes[p.Outcome] = append(outcomes[p.Outcome], p.ID)
		}
	}
	slices.Sort(outcomes["breach"])
	return report.Held, outcomes, seen
}

// openSockets opens sockets of every kind, as programs of an agent do, and leaves one
// behind that nobody listens on.
const openSockets = `
set -e
ssh-agent -a "$HOME/agent" >/dev/null
cd /tmp
setsid perl -e '
use Socket;
sub bound { my ($kind, $name) = @_; my $s; socket($s, AF_UNIX, $kind, 0) && bind($s, pack_sockaddr_un($name)) or die "$name: $!"; push @all, $s; $s }
listen(bound(SOCK_STREAM, "\0abstract"), 5);
listen(bound(SOCK_STREAM, "relative"), 5);
listen(bound(SOCK_SEQPACKET, "/tmp/packets"), 5);
bound(SOCK_DGRAM, "/tmp/datagrams");
bound(SOCK_STREAM, "/tmp/left"); close $all[-1];
sleep' </dev/null >/dev/null 2>&1 &
for i in $(seq 3000); do test -S left && break; sleep 0.1; done
test -S left
grep -o "@abstract" /proc/net/unix
`

func TestVerify(t *testing.T) {
	u := newUser(t)
	t.Run("runsc", func(t *testing.T) {
		if held, outcomes, _ := verified(t, u, "podbottle", "", "--runtime", "runsc"); !held || len(outcomes["held"]) < 40 {
			t.Errorf("%v", outcomes)
		}
	})
	t.Run("crun", func(t *testing.T) {
		_, outcomes, _ := verified(t, u, "podbottle", "", "--runtime", "crun")
		if diff := cmp.Diff(needGVisor, outcomes["breach"]); diff != "" {
			t.Errorf("breaches (-want +got):\n%s", diff)
		}
	})
	u.bottle("fixer", "[bash]", "")
	for _, runtime := range []string{"runsc", "crun"} {
		t.Run("sockets of an agent at work, "+runtime, func(t *testing.T) {
			slug := u.start("fixer", "--runtime", runtime)
			if r := u.inside(slug, openSockets); r.status != 0 || r.stdout != "@abstract\n" {
				t.Fatalf("%+v", r)
			}
			_, outcomes, _ := verified(t, u, "podbottle", "", slug)
			if !slices.Contains(outcomes["held"], "host.sockets") || slices.Contains(outcomes["breach"], "host.sockets") {
				t.Errorf("%v", outcomes)
			}
		})
	}
	t.Run("junit, of a bottle that runs", func(t *testing.T) {
		slug := u.start("fixer")
		r := u.run("verify", slug, "--format", "junit")
		var suites struct {
			XMLName xml.Name
		}
		if err := xml.Unmarshal([]byte(r.stdout), &suites); err != nil || r.status != 0 {
			t.Errorf("status %d, %v\n%s%s", r.status, err, r.stdout, r.stderr)
		}
		if got := u.inside(slug, "echo alive").stdout; got != "alive\n" {
			t.Errorf("the bottle that was verified says %q", got)
		}
	})
}

// A bottle that runs is taken as it is, by as much of its slug as it takes; what makes
// no sense for it is refused, and named.
func TestVerifyTakesABottleAsItIs(t *testing.T) {
	u := newUser(t)
	u.bottle("fixer", "[bash, -c, 'sleep infinity']", "")
	slug := u.start("fixer", "--runtime", "runsc")
	for flag, value := range map[string]string{"--runtime": "crun", "--firewall": "builtin", "--image": agentImage} {
		r := u.run("verify", slug, flag, value, "--format", "json")
		if r.status != 125 || r.stdout != "" {
			t.Errorf("%s: %v", flag, r)
		}
		wants(t, r.stderr, flag+" is for a bottle that verify starts, and "+slug+" runs already", "leave the flag out, or name an agent")
	}
	if r := u.run("verify", slug[:len(slug)-1]); r.status != 0 {
		t.Errorf("by the beginning of its slug: %v", r)
	}
	if r := u.run("verify", "fixer", "--image", agentImage); r.status != 125 || !strings.Contains(r.stderr, "an agent's image is in its manifest") {
		t.Errorf("an agent with another image: %v", r)
	}
	if r := u.run("verify", "nobody"); r.status != 125 || !strings.Contains(r.stderr, "nobody: it is neither a bottle that runs") {
		t.Errorf("nobody: %v", r)
	}
	u.must("stop", slug)
	if r := u.run("verify", slug); r.status != 125 || !strings.Contains(r.stderr, "podbottle resume "+slug) {
		t.Errorf("a bottle that is kept: %v", r)
	}
}

// ctrl-c leaves nothing behind. The signal comes twice, as timeout and CI systems send it.
func TestVerifyInterrupted(t *testing.T) {
	u := newUser(t)
	u.must("verify") // what is made once, such as the sidecars' image, stays
	before := hostObjects(t)
	found := func() []string {
		t.Helper()
		paths, err := filepath.Glob(filepath.Join(os.TempDir(), "podbottle-verify-*"))
		if err != nil {
			t.Fatal(err)
		}
		return paths
	}
	others := found() // of one that was killed by hand in this test host
	directories := func() []string {
		t.Helper()
		return slices.DeleteFunc(found(), func(path string) bool { return slices.Contains(others, path) })
	}
	pods := func() int { return len(lines(podman(t, "pod", "ps", "--quiet"))) }
	moments := []struct {
		name    string
		reached func() bool
	}{
		{"it has begun", func() bool { return len(directories()) > 0 }},
		{"a bottle starts", func() bool { return pods() > 0 }},
		{"the other bottle starts", func() bool { return pods() > 1 }},
		{"the agent is tried", func() bool {
			script := "podman inspect --format '{{.ExecIDs}}' $(podman ps --quiet --filter name='^bot-bottle-verify-[a-z0-9]+$')" // the agents
			return pods() > 1 && regexp.MustCompile(`\[[0-9a-f]`).MatchString(command{argv: []string{"bash", "-c", script}}.run(t).stdout)
		}},
	}
	for _, moment := range moments {
		t.Run(moment.name, func(t *testing.T) {
			verify := u.podbottle("verify", "--format", "json").start(t)
			for !moment.reached() {
				if verify.ended() {
					t.Fatalf("it was not caught: %v", verify.wait())
				}
			}
			for range 2 {
				_ = verify.cmd.Process.Signal(syscall.SIGINT)
			}
			if r := verify.wait(); r.status != 130 || r.stdout != "" || !strings.Contains(r.stderr, "Error: interrupted by the signal SIGINT\n") {
				t.Errorf("%v", r)
			}
			u.nothingLeft(before)
			if left := directories(); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// broken are bottles that are broken in ways that do not disturb each other, and what
// podbottle verify must find: these probes, and no others. A probe that cannot fail
// shows nothing.
var broken = []struct {
	name     string
	breakage string
	want     []string
	seen     map[string]string // what some of them say, where they could fail by mistake
}{
	{name: "network", breakage: "route,dns,names,neighbour,merge", want: []string{
		"copies.back", "dns.multicast", "dns.resolvers", "dns.system", "dns.tls", "host.tcp", "host.udp", "net.icmp", "net.routes", "net.tcp4", "net.tcp6", "net.udp4", "net.udp6",
		"pod.gateway", "pod.neighbours", "pod.others", "pod.outside",
	}},
	{name: "kernel", breakage: "capability,privileges,seccomp,unmask,namespaces,device,writable,members", want: []string{
		"copies.archives", "host.devices", "kernel.calls", "kernel.capabilities", "kernel.files", "kernel.keys", "kernel.mount", "kernel.namespaces", "kernel.nested", "kernel.no-new-privileges", "kernel.processes",
		"kernel.seccomp", "kernel.signals", "kernel.users", "net.add-route", "net.families", "net.icmp", "net.packet", "net.raw", "net.vsock", "secret.mounts",
	}},
	{name: "secrets", breakage: "environment,arguments,secret,socket,loopback,dumps,state,modes,copies,settings,workspace,escapes,quotation,branches,detached,leftovers", want: []string{
		"copies.settings", "copies.trees", "copies.workspace", "host.loopback", "host.sockets", "life.detached", "life.leftovers", "operator.escapes", "operator.git", "operator.proposals", "outside.arguments", "outside.dumps", "outside.inspect", "outside.logs", "outside.modes", "outside.state",
		"secret.arguments", "secret.environment", "secret.files",
	}, seen: map[string]string{"host.loopback": "arrived at the host's loopback", "copies.workspace": "what a link leads to came along"}},
	{name: "egress", breakage: "open,wide,as-it-is", want: []string{
		"copies.workspace", "dns.https", "egress.fronting", "egress.hosts", "egress.http2", "egress.methods", "egress.paths", "egress.ports", "egress.push", "egress.smuggling", "egress.special", "egress.unlisted",
		"host.egress", "host.metadata", "pod.loopback", "pod.others", "pod.ports", "secret.reflected",
	}, seen: map[string]string{"copies.workspace": "in the bottle /home/node/workspace/absolute leads to "}},
	{name: "routes and filter", breakage: "unlisted,paths,reflection,special,default-seccomp,whiteout", want: []string{
		"copies.workspace", "egress.http2", "egress.paths", "egress.smuggling", "egress.special", "egress.unlisted", "kernel.keys", "kernel.nested", "net.families", "net.vsock", "secret.reflected",
	}, seen: map[string]string{"copies.workspace": "no bottle can be started on it", "kernel.keys": "reached: link by number, session keyring"}},
}

func TestVerifyFindsWhatIsBroken(t *testing.T) {
	const program = "/src/bin/broken/podbottle"
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("%v; run the tests with: make e2e", err)
	}
	u := newUser(t)
	failed, all := slices.Clone(needGVisor), []string(nil)
	for _, b := range broken {
		t.Run(b.name, func(t *testing.T) {
			_, outcomes, seen := verified(t, u, program, b.breakage, "--runtime", "crun")
			if diff := cmp.Diff(slices.Sorted(slices.Values(slices.Concat(b.want, needGVisor))), outcomes["breach"]); diff != "" {
				t.Errorf("breaches (-want +got):\n%s", diff)
			}
			if len(outcomes["incomplete"]) > 0 {
				t.Errorf("incomplete: %v", outcomes["incomplete"])
			}
			for id, want := range b.seen {
				wants(t, seen[id], want)
			}
			for _, ids := range outcomes {
				all = append(all, ids...)
			}
		})
		failed = append(failed, b.want...)
	}
	slices.Sort(failed)
	slices.Sort(all)
	if diff := cmp.Diff(slices.Compact(all), slices.Compact(failed)); diff != "" {
		t.Errorf("probes that nothing here makes fail, or that there are not (-probes +failed):\n%s", diff)
	}
	// And where the bottle's own checks see it, no agent is started at all.
	u.bottle("fixer", "[bash]", "")
	for breakage, want := range map[string]string{
		"route": "network", "capability": "capabilities", "privileges": "no-new-privileges", "socket": "which was not asked for", "writable": "writable",
		"seccomp": "the seccomp filter", "default-seccomp": "the seccomp filter",
	} {
		t.Run(breakage+" is refused", func(t *testing.T) {
			cmd := u.podbottle("start", "fixer", "--detach", "--yes", "--runtime", "crun")
			cmd.argv[0] = program
			cmd.env = append(cmd.env, "PODBOTTLE_BREAK="+breakage, "PODBOTTLE_BREAK_SEEN=1")
			r := cmd.run(t)
			if r.status != 125 {
				t.Errorf("%+v", r)
			}
			wants(t, r.stderr, want)
		})
	}
}
