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

	"github.com/google/renameio/v2"

	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/pipelock"
)

// firewallLab is a bottle with supervise whose firewall may dial the upstream under
// three names. The test network has documentation addresses only, which a host has to
// be allowed to have; so the hosts begin with routes and are taken out of the files that
// egress and the firewall read.
type firewallLab struct {
	*user
	slug string
	up   *upstream
}

func newFirewallLab(t *testing.T) *firewallLab {
	t.Helper()
	up := startUpstream(t, upstreamIP+":8443", nil)
	u := newUser(t, "BOT_BOTTLE_EXTRA_CA_CERTS="+up.caFile)
	more := ""
	for _, host := range []string{"api.upstream.test", "git.upstream.test"} {
		more += fmt.Sprintf("    - {host: %q, path_allowlist: [/v1/], pipelock: {ssrf_ip_allowlist: [203.0.113.0/24]}}\n", host+":8443")
	}
	u.bottle("asker", "[bash]", route("      path_allowlist: [/v1/]\n")+more+"supervise: true\n")
	return &firewallLab{u, u.start("asker"), up}
}

// rewrite replaces a file that a sidecar reads while it runs, and waits until its report
// says that it is in force.
func (l *firewallLab) rewrite(t *testing.T, service, name, report string, change func([]byte) ([]byte, error)) {
	t.Helper()
	dir := filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "podbottle", l.slug, service)
	file := filepath.Join(dir, "config", name)
	after, err := change([]byte(readFile(t, file)))
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := renameio.WriteFile(file, after, info.Mode().Perm()); err != nil {
		t.Fatal(err)
	}
	eventually(t, service+" takes its new "+name, func() bool {
		return strings.Contains(readFile(t, filepath.Join(dir, "run", report)), egress.Fingerprint(after))
	})
}

// unroute takes a host's route away.
func (l *firewallLab) unroute(t *testing.T, host string) {
	t.Helper()
	l.rewrite(t, egressService, egress.RoutesFile, egress.RoutesStatusFile, func(table []byte) ([]byte, error) {
		routes, err := egress.ParseRoutes(table)
		if err != nil {
			return nil, err
		}
		return egress.FormatRoutes(slices.DeleteFunc(routes, func(r egress.Route) bool { return r.Host == host }))
	})
}

// block takes hosts out of the firewall's allowlist.
func (l *firewallLab) block(t *testing.T, hosts ...string) {
	t.Helper()
	l.rewrite(t, firewallService, pipelock.ConfigFile, pipelock.StatusFile, func(config []byte) ([]byte, error) {
		c, err := pipelock.ParseConfig(config)
		if err != nil {
			return nil, err
		}
		c.APIAllowlist = slices.DeleteFunc(c.APIAllowlist, func(host string) bool { return slices.Contains(hosts, host) })
		return c.Marshal()
	})
}

// expect makes a request as the agent: one with the reason allowed reaches the
// upstream, any other does not.
func (l *firewallLab) expect(t *testing.T, url, reason string) {
	t.Helper()
	before := len(l.up.requests())
	r := l.inside(l.slug, "curl -sS -i --max-time 60 "+url)
	seen := len(l.up.requests()) - before
	switch {
	case reason == "allowed" && (seen != 1 || !strings.HasSuffix(r.stdout, "upstream\n")):
		t.Errorf("%s does not go through: %+v", url, r)
	case reason != "allowed" && (seen != 0 || !strings.Contains(strings.ToLower(r.stdout), "podbottle-reason: "+reason)):
		t.Errorf("%s: %d requests came through, want none and %s: %+v", url, seen, reason, r)
	}
}

func TestPipelockBlock(t *testing.T) {
	l := newFirewallLab(t)
	const api, git = "https://api.upstream.test:8443", "https://git.upstream.test:8443"
	ask := func(url string) (id string, answer <-chan string) {
		t.Helper()
		answer = l.askFor(t, l.slug, "pipelock-block", fmt.Sprintf(`{"failed_url":%q,"justification":"a test"}`, url))
		return l.proposal(t), answer
	}
	l.expect(t, api+"/v1/x", "allowed")
	l.block(t, "api.upstream.test", "git.upstream.test")
	l.expect(t, api+"/v1/x", "firewall")
	firewall := podman(t, "inspect", "bot-bottle-"+l.slug+"-pipelock", "--format", "{{.State.Pid}}")

	t.Run("what the routes permit and the firewall does not", func(t *testing.T) {
		id, answer := ask(api + "/v1/x")
		wants(t, l.must("approvals", "show", id), "Opens the firewall for api.upstream.test", "+  - api.upstream.test")
		if r := l.run("approvals", "approve", id, "--scope", "once"); r.status == 0 || !strings.Contains(r.stderr, "no end") {
			t.Errorf("for a time that nobody keeps: %+v", r)
		}
		l.expect(t, api+"/v1/x", "firewall")
		l.must("approvals", "approve", id, "--scope", "bottle")
		wants(t, <-answer, "approved")
		l.expect(t, api+"/v1/x", "allowed")
		l.expect(t, api+"/v2/x", "path-not-allowed")
		l.expect(t, git+"/v1/x", "firewall")
	})
	t.Run("what neither permits", func(t *testing.T) {
		l.unroute(t, "git.upstream.test")
		l.expect(t, "https://git.upstream.test/v1/x", "host-not-allowed")
		id, answer := ask(git + "/v1/x")
		l.must("approvals", "approve", id, "--scope", "bottle")
		wants(t, <-answer, "approved")
		l.expect(t, git+"/v1/x", "allowed")
		l.expect(t, git+"/v1/y", "path-not-allowed")
		l.expect(t, "https://other.upstream.test/v1/x", "host-not-allowed")
		l.expect(t, "https://upstream.test:8443/v2/x", "path-not-allowed")
	})
	if podman(t, "inspect", "bot-bottle-"+l.slug+"-pipelock", "--format", "{{.State.Pid}}") != firewall {
		t.Error("the firewall was started again, which cuts requests that are under way")
	}
	t.Run("with a firewall that is gone", func(t *testing.T) {
		l.block(t, "api.upstream.test")
		id, answer := ask(api + "/v1/x")
		podman(t, "kill", "--signal=KILL", "bot-bottle-"+l.slug+"-pipelock")
		l.must("approvals", "approve", id, "--scope", "bottle")
		wants(t, <-answer, "approved")
		l.expect(t, api+"/v1/x", "allowed")
	})
}

// TestTimeToFirstRequest prints how long an agent that polls has to wait once the
// operator's command has started.
func TestTimeToFirstRequest(t *testing.T) {
	l := newFirewallLab(t)
	l.copyProgram(l.slug)
	l.unroute(t, "git.upstream.test")
	l.block(t, "git.upstream.test")
	for _, test := range []struct{ what, url, tool, arguments string }{
		{"another path", "https://upstream.test:8443/more/x", "egress-block", more},
		{"a new host, which the firewall has to know too", "https://git.upstream.test:8443/x", "pipelock-block", `{"failed_url":"https://git.upstream.test:8443/x","justification":"a test"}`},
	} {
		polling := l.agentProgram(l.slug, "poll", test.url, test.tool, test.arguments).start(t)
		id := l.proposal(t)
		seen := len(l.up.requests())
		began := time.Now()
		l.must("approvals", "approve", id, "--scope", "bottle")
		took := time.Since(began)
		var polled pollOutcome
		if r := polling.wait(); r.status != 0 || json.Unmarshal([]byte(r.stdout), &polled) != nil {
			t.Fatalf("%+v", r)
		}
		wants(t, polled.Answer, "approved")
		if polled.Refused == 0 || len(l.up.requests()) != seen+1 {
			t.Fatalf("%+v, and the upstream saw %d requests", polled, len(l.up.requests())-seen)
		}
		t.Logf("%s: the first request reaches the upstream %v after the operator's command began, which took %v; that request took %v, %d were refused before",
			test.what, l.up.requests()[seen].at.Sub(began).Round(time.Millisecond), took.Round(time.Millisecond), polled.Took.Round(time.Millisecond), polled.Refused)
	}
}
