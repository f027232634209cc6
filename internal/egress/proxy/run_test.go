package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/renameio/v2"

	"github.com/podbottle/podbottle/internal/audit"
	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/egress/conformance"
	"github.com/podbottle/podbottle/internal/pipelock"
	"github.com/podbottle/podbottle/internal/pipelock/firewall"
	"github.com/podbottle/podbottle/internal/ready"
)

// sidecars run the two mains as the containers do, with directories below a temporary one.
type sidecars struct {
	t       *testing.T
	dir     string
	addr    string
	metrics string
	stop    func() error
}

func (s *sidecars) path(parts ...string) string {
	return filepath.Join(append([]string{s.dir}, parts...)...)
}

func newSidecars(t *testing.T, routes []egress.Route) *sidecars {
	t.Helper()
	s := &sidecars{t: t, dir: t.TempDir()}
	for _, dir := range []string{"egress/config", "egress/secrets", "egress/run", "egress/state", "pipelock/config", "pipelock/secrets", "pipelock/run"} {
		if err := os.MkdirAll(s.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	ca, key := mint(t)
	firewallCA, firewallKey := mint(t)
	s.write("egress/secrets/"+egress.CACertFile, ca)
	s.write("egress/secrets/"+egress.CAKeyFile, key)
	s.write("egress/secrets/"+egress.FirewallCAFile, firewallCA)
	s.write("pipelock/secrets/"+pipelock.CACertFile, firewallCA)
	s.write("pipelock/secrets/"+pipelock.CAKeyFile, firewallKey)
	s.write("pipelock/config/"+pipelock.RootsFile, ca)
	plan, err := egress.Plan{Slug: "test", Routes: routes}.ConfigFiles()
	if err != nil {
		t.Fatal(err)
	}
	s.write("egress/config/"+egress.RoutesFile, plan[egress.RoutesFile])
	config, err := pipelock.Plan{Slug: "test", Routes: routes}.ConfigFiles()
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range config {
		s.write("pipelock/config/"+name, content)
	}
	return s
}

func (s *sidecars) write(name string, content []byte) {
	s.t.Helper()
	if err := renameio.WriteFile(s.path(name), content, 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// start runs both and waits until egress says that it is ready.
func (s *sidecars) start() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	s.addr, s.metrics = freeAddress(s.t), freeAddress(s.t)
	wall := freeAddress(s.t)
	go func() {
		done <- firewall.Run(ctx, []string{"--slug", "test", "--listen", wall, "--config", s.path("pipelock/config"), "--secrets", s.path("pipelock/secrets"), "--run", s.path("pipelock/run")})
	}()
	go func() {
		done <- Run(ctx, []string{
			"--slug", "test", "--listen", s.addr, "--firewall", wall, "--metrics", s.metrics, "--config", s.path("egress/config"),
			"--secrets", s.path("egress/secrets"), "--run", s.path("egress/run"), "--state", s.path("egress/state"),
		})
	}()
	s.stop = func() error {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				return err
			}
		}
		return nil
	}
	s.await("ready", func() bool { return fresh(s.path("egress/run", ready.Service)) })
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

// fresh reports whether a marker is there that the sidecar itself made.
func fresh(path string) bool { info, err := os.Stat(path); return err == nil && info.Size() == 0 }

func (s *sidecars) await(what string, ok func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: not after two minutes", what)
		}
	}
}

// ask makes a plain request through egress.
func (s *sidecars) ask(method, target string) *http.Response {
	s.t.Helper()
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: s.addr}), DisableKeepAlives: true}}
	req, err := http.NewRequest(method, target, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func (s *sidecars) allowlist() allowlist {
	s.t.Helper()
	var list allowlist
	if err := json.NewDecoder(s.ask("GET", "http://_egress.local/allowlist").Body).Decode(&list); err != nil {
		s.t.Fatal(err)
	}
	return list
}

func (s *sidecars) status() egress.RoutesStatus {
	s.t.Helper()
	data, err := os.ReadFile(s.path("egress/run", egress.RoutesStatusFile))
	if err != nil {
		s.t.Fatal(err)
	}
	var status egress.RoutesStatus
	if err := json.Unmarshal(data, &status); err != nil {
		s.t.Fatal(err)
	}
	return status
}

func TestSidecarsFromStartToStop(t *testing.T) {
	s := newSidecars(t, []egress.Route{{Host: "a.example.org", AuthScheme: egress.SchemeBearer, TokenEnv: "EGRESS_TOKEN_0", TokenRef: "HOST_VARIABLE"}})
	s.write("egress/secrets/EGRESS_TOKEN_0", []byte(testToken))
	s.write("egress/run/"+ready.Service, []byte("stale")) // left by an earlier run
	s.write("egress/run/"+ready.Agent, nil)
	s.start()
	if exists(s.path("egress/run", ready.Agent)) {
		t.Error("the stale marker of the agent is still there")
	}
	for range 2 {
		if res := s.ask("PUT", "http://_egress.local/agent-ready"); res.StatusCode != http.StatusNoContent {
			t.Errorf("agent-ready: %s", res.Status)
		}
	}
	if !exists(s.path("egress/run", ready.Agent)) {
		t.Error("no marker of the agent")
	}
	list := s.allowlist()
	if list.Generation != 1 || len(list.Routes) != 1 || list.Routes[0].TokenEnv != "EGRESS_TOKEN_0" {
		t.Errorf("allowlist %+v", list)
	}
	var all bytes.Buffer
	if _, err := all.ReadFrom(s.ask("GET", "http://_egress.local/allowlist").Body); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(all.String(), testToken) || strings.Contains(all.String(), "HOST_VARIABLE") {
		t.Errorf("the allowlist tells too much: %s", all.String())
	}
	if res := s.ask("GET", "http://b.example.org/"); res.Header.Get(ReasonHeader) != string(ReasonHost) {
		t.Errorf("unlisted host: %s", statusOf(res))
	}
	for _, request := range []string{"GET http://_egress.local/", "PUT http://_egress.local/allowlist", "GET http://_egress.local/agent-ready"} {
		method, target, _ := strings.Cut(request, " ")
		if res := s.ask(method, target); res.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s", request, res.Status)
		}
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(s.path("egress/state", egress.AuditFile))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if n, err := audit.Verify(file); n < 5 || err != nil {
		t.Errorf("audit: %d lines, %v", n, err)
	}
}

func TestRoutesAreReplacedWhileServing(t *testing.T) {
	s := newSidecars(t, []egress.Route{{Host: "a.example.org"}})
	s.start()
	defer func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	}()
	// replace waits for the table's outcome; a file may be read more than once.
	replace := func(text string, good bool) egress.RoutesStatus {
		t.Helper()
		before := s.status()
		s.write("egress/config/"+egress.RoutesFile, []byte(text))
		s.await("the new table", func() bool {
			now := s.status()
			return now.Time != before.Time && good == (now.SHA256 == egress.Fingerprint([]byte(text)))
		})
		return s.status()
	}
	good := "version: 1\nroutes: [{host: b.example.org}]\n"
	if status := replace(good, true); status.Generation != 2 || status.Error != "" || status.SHA256 != egress.Fingerprint([]byte(good)) {
		t.Errorf("status %+v", status)
	}
	if list := s.allowlist(); list.Generation != 2 || list.Routes[0].Host != "b.example.org" {
		t.Errorf("allowlist %+v", list)
	}
	for i, bad := range []string{"", "version: 1\nallow: all\n", "version: 1\nroutes: [{host: '*'}]\n", "version: 1\nroutes: [\n"} {
		status := replace(bad, false)
		if status.Generation != 2 || status.Error == "" || status.SHA256 != egress.Fingerprint([]byte(good)) {
			t.Errorf("bad table %d: status %+v", i, status)
		}
		if list := s.allowlist(); list.Generation != 2 || list.Routes[0].Host != "b.example.org" {
			t.Errorf("bad table %d: allowlist %+v", i, list)
		}
	}
	if status := replace("version: 1\nroutes: []\n", true); status.Generation != 3 || status.Error != "" {
		t.Errorf("status %+v", status)
	}
	if res := s.ask("GET", "http://b.example.org/"); res.Header.Get(ReasonHeader) != string(ReasonHost) {
		t.Errorf("a host that was removed: %s", statusOf(res))
	}
}

// TestAReplacedTableLeavesOpenRequestsAlone, and the next request on the same
// connection is judged by the new one.
func TestAReplacedTableLeavesOpenRequestsAlone(t *testing.T) {
	bothVersions(t, func(t *testing.T, h2 bool) {
		next := make(chan struct{})
		b := newBottle(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "begun ")
			_ = http.NewResponseController(w).Flush()
			<-next
			fmt.Fprint(w, "ended")
		}), nil)
		client := b.client(h2)
		res, err := client.Get(b.url("/"))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if err := b.proxy.SetRoutes(nil, 2); err != nil {
			t.Fatal(err)
		}
		close(next)
		var body bytes.Buffer
		if _, err := body.ReadFrom(res.Body); err != nil || body.String() != "begun ended" {
			t.Errorf("%q, %v", body.String(), err)
		}
		if res, _ := get(t, client, b.url("/"), nil); res.Header.Get(ReasonHeader) != string(ReasonHost) {
			t.Errorf("the next request: %s", statusOf(res))
		}
	})
}

func TestRunRefusesBadFlags(t *testing.T) {
	for _, args := range []string{
		"", "--slug x", "--listen 127.0.0.1:1", "--slug x --listen nonsense", "--slug x --listen 127.0.0.1:1 extra",
		"--slug x --listen 127.0.0.1:1 --firewall 10.0.0.1:8888", "--slug x --listen 127.0.0.1:1 --metrics 0.0.0.0:9901",
	} {
		if _, err := parseFlags(strings.Fields(args)); err == nil {
			t.Errorf("flags %q are accepted", args)
		}
	}
}

// TestAFirewallThatDoesNotRefuseIsNone: egress must not become ready.
func TestAFirewallThatDoesNotRefuseIsNone(t *testing.T) {
	open, _ := serve(t, func(ctx context.Context, l net.Listener) error {
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "welcome") })}
		context.AfterFunc(ctx, func() { _ = server.Close() })
		_ = server.Serve(l)
		return nil
	})
	_, err := waitForFirewall(context.Background(), open, netip.MustParseAddrPort("127.0.0.1:1"))
	if err == nil || !strings.Contains(err.Error(), "does not enforce") {
		t.Errorf("error %v", err)
	}
}

// TestNothingIsLetOutWithoutRecords: when the audit file cannot be written, the
// request that is over is the last one.
func TestNothingIsLetOutWithoutRecords(t *testing.T) {
	b := newBottle(t, http.HandlerFunc(conformance.Upstream), nil)
	if err := b.proxy.config.Audit.Close(); err != nil {
		t.Fatal(err)
	}
	client := b.client(true)
	_, _ = get(t, client, b.url("/"), nil)
	b.proxy.inflight.Wait()
	res, _ := get(t, client, b.url("/"), nil)
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get(ReasonHeader) != string(ReasonAudit) {
		t.Errorf("got %s", statusOf(res))
	}
}
