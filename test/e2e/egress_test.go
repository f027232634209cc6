//go:build e2e

package e2e

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/renameio/v2"

	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/egress/conformance"
	"github.com/podbottle/podbottle/internal/pipelock"
)

// transferSize is how much TestEgress sends each way; 2 GB by hand.
var transferSize = flag.Int64("transfer", 128<<20, "bytes that TestEgress sends each way")

// pipelockVariable names the binary of the pinned pipelock, as the test host sees it.
const pipelockVariable = "PIPELOCK_BIN"

// egressRoutes are the routes of the conformance table, and one whose TLS the firewall
// passes through. What a manifest cannot say, finishRoutes does.
var egressRoutes = strings.NewReplacer(
	"DIAL", "pipelock: {ssrf_ip_allowlist: [203.0.113.0/24]}",
	"AUTH", "auth: {scheme: Bearer, token_ref: E2E_TOKEN}",
).Replace(`egress:
  routes:
    - {host: "upstream.test:8443", DIAL}
    - {host: "pass.upstream.test:8443", AUTH, pipelock: {tls_passthrough: true, ssrf_ip_allowlist: [203.0.113.0/24]}}
    - {host: "api.upstream.test:8443", AUTH, DIAL}
    - {host: "plain.upstream.test:8480", DIAL}
    - {host: "*.wild.upstream.test:8443", DIAL}
    - {host: "bücher.upstream.test:8443", DIAL}
    - {host: "paths.upstream.test:8443", path_allowlist: [/v1/], DIAL}
    - host: rules.upstream.test:8443
      matches: [{paths: [{value: /api}], methods: [GET]}, {paths: [{type: exact, value: /once}]}]
      DIAL
    - {host: "git.upstream.test:8443", git: {fetch: true}, DIAL}
    - {host: "empty.upstream.test:8443", auth: {scheme: Bearer, token_ref: E2E_EMPTIED}}
    - {host: "secret.upstream.test:8480", AUTH}
    - {host: "inside.upstream.test:8443"}
    - {host: "closed.upstream.test:1", DIAL}
    - {host: "not.covered.upstream.test:8443", DIAL}
    - {host: "passed.covered.upstream.test:8443", pipelock: {tls_passthrough: true, ssrf_ip_allowlist: [203.0.113.0/24]}}
    - {host: "nowhere.invalid:8443"}
`)

// TestEgress sends everything that the way out has to carry, and everything that it
// has to refuse, from inside a bottle: once with the built-in firewall, and once with
// the real pipelock where there is one.
func TestEgress(t *testing.T) {
	server := startEgressUpstream(t)
	t.Run("builtin", func(t *testing.T) {
		b := newEgressBottle(t, server, "firewall: {engine: builtin}\n")
		b.rows = append(b.rows, conformance.FirewallRows()...)
		b.try("upstream.test:8443")
	})
	binary := os.Getenv(pipelockVariable)
	if binary == "" {
		t.Logf("LEFT OUT: %s names no pipelock %s, so only the built-in firewall was tried", pipelockVariable, pipelock.Version)
		return
	}
	t.Run("pipelock", func(t *testing.T) {
		if r := (command{argv: []string{binary, "version"}}).run(t); !strings.Contains(r.stdout+r.stderr, pipelock.Version) {
			t.Fatalf("%s is not pipelock %s: %+v", binary, pipelock.Version, r)
		}
		newEgressBottle(t, server, fmt.Sprintf("firewall: {engine: pipelock, binary: %s}\n", binary)).try("pass.upstream.test:8443")
	})
}

// egressBottle is a running bottle with the agent's programs in it.
type egressBottle struct {
	*user
	server *egressUpstream
	slug   string
	rows   []conformance.Row
}

func newEgressBottle(t *testing.T, server *egressUpstream, config string) *egressBottle {
	t.Helper()
	u := newUser(t, "BOT_BOTTLE_EXTRA_CA_CERTS="+server.caFile, "E2E_TOKEN="+token, "E2E_EMPTIED=emptied-later")
	u.write("config.yaml", config)
	u.bottle("way-out", "[bash]", egressRoutes)
	b := &egressBottle{u, server, u.start("way-out"), conformance.Rows()}
	u.copyProgram(b.slug)
	return b
}

// program runs one of agentPrograms beside the agent. It may take a second for every
// two megabytes of -transfer.
func (b *egressBottle) program(t *testing.T, args ...string) string {
	t.Helper()
	cmd := b.agentProgram(b.slug, args...)
	cmd.timeout = commandTimeout + time.Duration(*transferSize/2e6)*time.Second
	r := cmd.run(t)
	if r.status != 0 {
		t.Errorf("%v: status %d\n%s%s", args, r.status, r.stdout, r.stderr)
	}
	return r.stdout
}

// try runs the tests. Where a firewall that intercepts TLS knows no WebSocket, as
// pipelock does not, the host for it is one that is passed through.
func (b *egressBottle) try(webSocketHost string) {
	b.t.Run("curl", b.curl)
	b.t.Run("WebSocket", func(t *testing.T) {
		wants(t, b.program(t, "websocket", "https://"+webSocketHost+"/ws", "20"), "20 messages came back")
	})
	for _, version := range []string{"h1", "h2"} {
		b.t.Run("events one by one, "+version, func(t *testing.T) {
			t.Log(b.program(t, "events", "https://upstream.test:8443/events", "https://upstream.test:8443/seen", version))
		})
		b.t.Run("200 streams at once, "+version, func(t *testing.T) {
			b.program(t, "together", fmt.Sprintf("https://upstream.test:8443/together?n=200&run=%s-%s", b.slug, version), "200", version)
			t.Log(b.memory(t))
		})
	}
	b.t.Run("large bodies", b.transfer)
	b.t.Run("git", b.git)
	b.t.Run("a secret in a body", b.secretInBody)
	b.t.Run("conformance", b.conformance)
	b.t.Run("without a firewall", b.deadFirewall)
}

func (b *egressBottle) curl(t *testing.T) {
	for version, option := range map[string]string{"1.1": "--http1.1", "2": "--http2"} {
		r := b.inside(b.slug, "curl -sS -w '%{http_version}' "+option+" https://api.upstream.test:8443/x")
		if want := "GET api.upstream.test:8443 /x\n" + version; r.stdout != want {
			t.Errorf("HTTP/%s: %v", version, r)
		}
	}
}

// transfer sends a large body each way and looks at the memory of the sidecars. The
// real pipelock holds what it intercepts, so the bodies go where TLS passes through.
func (b *egressBottle) transfer(t *testing.T) {
	before := b.memory(t)
	size := strconv.FormatInt(*transferSize, 10)
	took := b.program(t, "upload", "https://pass.upstream.test:8443/upload", size)
	took += b.program(t, "download", "https://pass.upstream.test:8443/download?size=", size)
	after := b.memory(t)
	t.Logf("%d MB each way: %s\nbefore: %s\nafter: %s", *transferSize/1e6, strings.ReplaceAll(took, "\n", " "), before, after)
	const most = 64
	if grown := after[egressService].peak - before[egressService].peak; grown > most {
		t.Errorf("egress took %d MB more for it", grown)
	}
}

func (b *egressBottle) git(t *testing.T) {
	refused := b.inside(b.slug, "git clone https://upstream.test:8443/tools.git refused")
	if refused.status == 0 {
		t.Errorf("a clone without git.fetch: %v", refused)
	}
	wants(t, refused.stderr, "git over HTTPS is not enabled", "git: {fetch: true}")
	if r := b.inside(b.slug, "git clone --quiet https://git.upstream.test:8443/tools.git && git -C tools log --format=%s"); r.stdout != "first\n" {
		t.Errorf("a clone with git.fetch: %v", r)
	}
	pushed := b.inside(b.slug, "cd tools && git -c user.name=a -c user.email=a@example.org commit --quiet --allow-empty -m second && git push origin HEAD:other")
	if pushed.status == 0 {
		t.Errorf("a push with git.fetch: %v", pushed)
	}
	wants(t, pushed.stderr, "git pushes go through git-gate")
}

// githubToken has the form of a token and belongs to nobody.
const githubToken = "ghp_" + "aB3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW3xY5"

// secretInBody is let through by no firewall that sees it, and by any that does not.
func (b *egressBottle) secretInBody(t *testing.T) {
	r := b.inside(b.slug, "curl -sS -w '\n%{http_code}' -d 'key="+githubToken+"' https://api.upstream.test:8443/body")
	if kept := b.server.kept(); len(kept) != 0 || !strings.HasSuffix(r.stdout, "\n403") {
		t.Errorf("%v; the upstream got %q", r, kept)
	}
	wants(t, r.stdout, "contains")
	r = b.inside(b.slug, "curl -sS -d 'key="+githubToken+"' https://pass.upstream.test:8443/body")
	if kept := b.server.kept(); !slices.Equal(kept, []string{"Bearer " + token + " key=" + githubToken}) {
		t.Errorf("with tls_passthrough: %v; the upstream got %q", r, kept)
	}
}

func (b *egressBottle) conformance(t *testing.T) {
	b.finishRoutes(t)
	output := b.program(t, "conformance", "upstream.test", strconv.Itoa(tlsPort), strconv.Itoa(plainPort))
	var wrong map[string]string
	if err := json.Unmarshal([]byte(output), &wrong); err != nil {
		t.Fatal(err)
	}
	for _, row := range b.rows {
		if why, tried := wrong[row.What]; !tried || why != "" {
			t.Errorf("%s: tried: %v, %s", row.What, tried, why)
		}
	}
	for _, row := range b.rows {
		if reason, recorded := row.Reason(); recorded && reason != "allowed" {
			eventually(t, "a record has the reason "+reason, func() bool { // that of a tunnel follows the client's error
				return strings.Contains(b.must("audit", b.slug, "--denied", "--format", "json"), `"reason":"`+reason+`"`)
			})
		}
	}
	b.must("audit", "verify", b.slug)
}

// finishRoutes lets a permission end, empties a token slot and adds a route that the
// firewall has not heard of: in the files that egress reads, as may happen while a
// bottle runs.
func (b *egressBottle) finishRoutes(t *testing.T) {
	t.Helper()
	dir := filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "podbottle", b.slug, "egress")
	file := filepath.Join(dir, "config", egress.RoutesFile)
	routes, err := egress.ParseRoutes([]byte(readFile(t, file)))
	if err != nil {
		t.Fatal(err)
	}
	for i, route := range routes {
		switch route.Host {
		case "rules.upstream.test":
			routes[i].Matches[1].ExpiresAt = time.Now().Add(-time.Second)
		case "empty.upstream.test":
			if err := os.Remove(filepath.Join(dir, "secrets", route.TokenEnv)); err != nil {
				t.Fatal(err)
			}
		}
	}
	routes = append(routes, egress.Route{Host: "late.upstream.test", Port: tlsPort})
	table, err := egress.FormatRoutes(routes)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := renameio.WriteFile(file, table, info.Mode().Perm()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "egress takes the new routes", func() bool {
		return strings.Contains(b.inside(b.slug, "curl -sS http://_egress.local/allowlist").stdout, `"expires_at"`)
	})
}

// deadFirewall ends the firewall under a running bottle: egress says so, and dials
// nobody itself.
func (b *egressBottle) deadFirewall(t *testing.T) {
	podman(t, "kill", "--signal=KILL", "bot-bottle-"+b.slug+"-pipelock")
	r := b.inside(b.slug, "curl -sS -i -d x https://api.upstream.test:8443/body")
	wants(t, r.stdout, "502", "firewall-unreachable", "nothing is sent without it")
	if kept := b.server.kept(); len(kept) != 0 {
		t.Errorf("the upstream got %q", kept)
	}
}

// Services of a bottle, as its containers are named.
const (
	egressService   = "egress"
	firewallService = "pipelock"
)

// usage is the resident memory of a process in MB: now, and at its most.
type usage struct{ now, peak int }

// memory is that of the two sidecars of the way out.
func (b *egressBottle) memory(t *testing.T) map[string]usage {
	t.Helper()
	all := make(map[string]usage)
	for _, service := range []string{egressService, firewallService} {
		all[service] = memoryOf(t, b.slug, service)
	}
	return all
}

// memoryOf is that of one sidecar of a bottle (proc_pid_status(5)).
func memoryOf(t *testing.T, slug, service string) usage {
	t.Helper()
	pid := podman(t, "inspect", "--format", "{{.State.Pid}}", "bot-bottle-"+slug+"-"+service)
	var u usage
	for line := range strings.Lines(readFile(t, "/proc/"+pid+"/status")) {
		var kilobytes int
		switch name, value, _ := strings.Cut(line, ":"); name {
		case "VmRSS":
			_, _ = fmt.Sscan(value, &kilobytes)
			u.now = kilobytes * 1024 / 1e6
		case "VmHWM":
			_, _ = fmt.Sscan(value, &kilobytes)
			u.peak = kilobytes * 1024 / 1e6
		}
	}
	if u.peak == 0 {
		t.Fatalf("process %s of %s has no memory", pid, service)
	}
	return u
}

// String shows the memory of a sidecar.
func (u usage) String() string { return fmt.Sprintf("%d MB (at most %d)", u.now, u.peak) }
