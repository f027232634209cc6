//go:build e2e

package e2e

import (
	"encoding/json"
	"encoding/xml"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// needGVisor are the probes that a bottle under crun cannot hold.
var needGVisor = []string{"kernel.seen"}

// verified runs podbottle verify, or the one that breaks its bottle, and returns the
// probes with each outcome.
func verified(t *testing.T, u *user, program, breakage string, args ...string) (held bool, outcomes map[string][]string) {
	t.Helper()
	cmd := u.podbottle(append([]string{"verify", "--firewall", "builtin", "--format", "json"}, args...)...)
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
	outcomes = map[string][]string{}
	for _, p := range report.Probes {
		if p.Outcome != "held" {
			t.Logf("%s: %s: %s", p.ID, p.Outcome, p.Seen)
		}
		if !slices.Contains(outcomes[p.Outcome], p.ID) {
			outcomes[p.Outcome] = append(outcomes[p.Outcome], p.ID)
		}
	}
	slices.Sort(outcomes["breach"])
	return report.Held, outcomes
}

func TestVerify(t *testing.T) {
	u := newUser(t)
	t.Run("runsc", func(t *testing.T) {
		if held, outcomes := verified(t, u, "podbottle", "", "--runtime", "runsc"); !held || len(outcomes["held"]) < 40 {
			t.Errorf("%v", outcomes)
		}
	})
	t.Run("crun", func(t *testing.T) {
		_, outcomes := verified(t, u, "podbottle", "", "--runtime", "crun")
		if diff := cmp.Diff(needGVisor, outcomes["breach"]); diff != "" {
			t.Errorf("breaches (-want +got):\n%s", diff)
		}
	})
	t.Run("junit, of a bottle that runs", func(t *testing.T) {
		u.bottle("fixer", "[bash]", "")
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

// Each breakage makes the probes fail that are for it, and no others: a probe that
// cannot fail shows nothing.
func TestVerifyFindsWhatIsBroken(t *testing.T) {
	const broken = "/src/bin/broken/podbottle"
	if _, err := os.Stat(broken); err != nil {
		t.Fatalf("%v; run the tests with: make e2e", err)
	}
	u := newUser(t)
	for breakage, want := range map[string][]string{
		"route": {
			"dns.resolvers", "dns.tls", "host.tcp", "host.udp", "net.icmp", "net.routes", "net.tcp4", "net.tcp6", "net.udp4", "net.udp6", "pod.outside",
		},
		"dns":             {"dns.resolvers", "pod.gateway"},
		"capability":      {"kernel.capabilities", "net.icmp", "net.packet", "net.raw"},
		"privileges":      {"kernel.no-new-privileges"},
		"seccomp":         {"kernel.calls", "kernel.nested", "kernel.seccomp", "net.families", "net.vsock"},
		"default-seccomp": {"kernel.nested", "net.families", "net.vsock"},
		"environment":     {"outside.inspect", "secret.environment"},
		"secret":          {"secret.files"},
		"socket":          {"host.sockets"},
		"writable":        {"secret.mounts"},
		"namespace":       {"kernel.namespaces"},
		"device":          {"host.devices"},
	} {
		t.Run(breakage, func(t *testing.T) {
			_, outcomes := verified(t, u, broken, breakage, "--runtime", "crun")
			want := slices.Sorted(slices.Values(slices.Concat(want, needGVisor)))
			if diff := cmp.Diff(want, outcomes["breach"]); diff != "" {
				t.Errorf("breaches (-want +got):\n%s", diff)
			}
		})
	}
	// And where the bottle's own checks see it, no agent is started at all.
	for breakage, want := range map[string]string{
		"route": "network", "capability": "capabilities", "privileges": "no-new-privileges", "socket": "which was not asked for", "writable": "writable",
		"seccomp": "the seccomp filter", "default-seccomp": "the seccomp filter",
	} {
		t.Run(breakage+" is refused", func(t *testing.T) {
			u.bottle("fixer", "[bash]", "")
			cmd := u.podbottle("start", "fixer", "--detach", "--yes", "--runtime", "crun")
			cmd.argv[0] = broken
			cmd.env = append(cmd.env, "PODBOTTLE_BREAK="+breakage, "PODBOTTLE_BREAK_SEEN=1")
			r := cmd.run(t)
			if r.status != 125 {
				t.Errorf("%+v", r)
			}
			wants(t, r.stderr, want)
		})
	}
}
