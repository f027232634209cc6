// Package supervisetest runs a whole bottle without containers for tests: the real
// supervise server, egress and firewall, and an upstream that counts.
package supervisetest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/podbottle/podbottle/internal/audit"
	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/egress/proxy"
	"github.com/podbottle/podbottle/internal/intercept"
	"github.com/podbottle/podbottle/internal/pipelock"
	"github.com/podbottle/podbottle/internal/pipelock/firewall"
	"github.com/podbottle/podbottle/internal/supervise"
	"github.com/podbottle/podbottle/internal/supervise/mcpserver"
)

// Live is a bottle without containers: the real supervise server, egress and
// firewall in this process, with their files where podbottle puts them, and an
// upstream that counts what reaches it.
type Live struct {
	testing.TB
	supervise.Bottle
	dir      string
	Agent    *mcp.ClientSession
	Web      *http.Client // the agent's, through egress
	Port     int          // of the upstream
	Hits     atomic.Int64
	LastAuth atomic.Value // Authorization of the last request, as the upstream saw it

	StopEgress func()
	firewall   *process
}

// process is a service that can be stopped and started again.
type process struct {
	run  func(context.Context) error
	stop func()
	err  error // after stop
}

func (p *process) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.err = p.run(ctx)
	}()
	p.stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
}

// New starts a bottle with one route, to known.example.org/v1/.
func New(t testing.TB) *Live {
	t.Helper()
	l := &Live{TB: t, dir: t.TempDir()}
	for _, dir := range []string{"egress/config", "egress/secrets", "egress/run", "egress/data", "pipelock/config", "state"} {
		if err := os.MkdirAll(l.Path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	upstreamCA := l.startUpstream()
	known := egress.Route{
		Host: "known.example.org", Port: l.Port, PathAllowlist: []string{"/v1/"},
		SSRFIPAllowlist: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}
	table, err := egress.FormatRoutes([]egress.Route{known})
	l.Must(err)
	l.Write("egress/config/routes.yaml", table)
	config, err := pipelock.NewConfig([]egress.Route{known}).Marshal()
	l.Must(err)
	l.Write("pipelock/config/pipelock.yaml", config)
	l.Bottle = supervise.Bottle{
		Slug: "demo-abc12", Queue: l.Path("queue/demo-abc12"), Audit: l.Path("state/audit.jsonl"),
		Routes: l.Path("egress/config/routes.yaml"), RoutesStatus: l.Path("egress/run/routes.json"), Secrets: l.Path("egress/secrets"),
		Firewall: l.Path("pipelock/config/pipelock.yaml"), Containerfile: l.Path("state/Dockerfile"),
	}
	l.startSidecars(upstreamCA)
	return l
}

// Path is a file's path below the bottle's directory.
func (l *Live) Path(name string) string { return filepath.Join(l.dir, name) }

// Must ends the test on an error.
func (l *Live) Must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

// Write writes a file below the bottle's directory.
func (l *Live) Write(name string, data []byte) {
	l.Helper()
	l.Must(os.WriteFile(l.Path(name), data, 0o644))
}

// Read reads a file by its full path.
func (l *Live) Read(name string) string {
	l.Helper()
	data, err := os.ReadFile(name)
	l.Must(err)
	return string(data)
}

// startUpstream serves every example.org name and returns who signs for them.
func (l *Live) startUpstream() *x509.CertPool {
	cert, key, err := egress.MintCA("upstream", time.Now(), time.Hour)
	l.Must(err)
	authority, err := intercept.NewAuthority(cert, key)
	l.Must(err)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.Hits.Add(1)
		l.LastAuth.Store(r.Header.Get("Authorization"))
		_, _ = w.Write([]byte("hello"))
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.TLS = &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) { return authority.Leaf(hello.ServerName) }}
	server.StartTLS()
	l.Cleanup(server.Close)
	l.Port = server.Listener.Addr().(*net.TCPAddr).Port
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return pool
}

// startSidecars starts the firewall, egress and supervise, and connects the agent.
func (l *Live) startSidecars(upstreamCA *x509.CertPool) {
	firewallCert, firewallKey, err := egress.MintCA("firewall", time.Now(), time.Hour)
	l.Must(err)
	firewallAuthority, err := intercept.NewAuthority(firewallCert, firewallKey)
	l.Must(err)
	firewallAddr := l.freeAddr()
	names := loopbackNames(l)
	l.firewall = &process{run: func(ctx context.Context) error {
		config, err := pipelock.ParseConfig([]byte(l.Read(l.Bottle.Firewall)))
		if err != nil {
			return err
		}
		listener, err := net.Listen("tcp", firewallAddr)
		if err != nil {
			return err
		}
		return firewall.New(config, firewall.Settings{
			Slug: "demo-abc12", Authority: firewallAuthority, Roots: upstreamCA, Resolver: names, Log: slog.New(slog.DiscardHandler),
			Ranges: pipelock.HostRanges{"*.example.org": {netip.MustParsePrefix("127.0.0.0/8")}}, // the upstream's, under every name
		}).Serve(ctx, listener)
	}}
	l.firewall.start()
	l.stopAtEnd(l.firewall)
	l.ReloadFirewall = func(ctx context.Context) error { // as with pipelock: a restart of that one container
		l.firewall.stop()
		l.firewall.start()
		return dial(ctx, firewallAddr)
	}

	agentCert, agentKey, err := egress.MintCA("agent", time.Now(), time.Hour)
	l.Must(err)
	l.Write("egress/secrets/ca.crt", agentCert)
	l.Write("egress/secrets/ca.key", agentKey)
	l.Write("egress/secrets/firewall-ca.crt", firewallCert)
	egressAddr := l.freeAddr()
	way := &process{run: func(ctx context.Context) error {
		return proxy.Run(ctx, []string{
			"--slug", "demo-abc12", "--listen", egressAddr, "--firewall", firewallAddr, "--config", l.Path("egress/config"),
			"--secrets", l.Path("egress/secrets"), "--run", l.Path("egress/run"), "--state", l.Path("egress/data"),
		})
	}}
	way.start()
	l.StopEgress = func() { way.stop() }
	l.stopAtEnd(way)
	l.Must(dial(context.Background(), egressAddr))
	trust := x509.NewCertPool()
	trust.AppendCertsFromPEM(agentCert)
	l.Web = &http.Client{Transport: &http.Transport{
		Proxy:           http.ProxyURL(&url.URL{Scheme: "http", Host: egressAddr}),
		TLSClientConfig: &tls.Config{RootCAs: trust}, DisableKeepAlives: true,
	}}

	l.Must(supervise.CreateQueue(l.Queue))
	queue, err := supervise.OpenQueue(l.Queue)
	l.Must(err)
	l.Cleanup(func() { _ = queue.Close() })
	records, err := audit.Open(filepath.Join(l.Queue, supervise.AuditFile))
	l.Must(err)
	l.Cleanup(func() { _ = records.Close() })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	l.Must(err)
	limits := mcpserver.DefaultLimits
	limits.Burst = 1 << 20 // the benchmark asks without pause
	server := &process{run: func(ctx context.Context) error {
		return mcpserver.New(mcpserver.Config{
			Slug: "demo-abc12", OnApproval: supervise.DefaultWait, RoutesFile: l.Routes, Containerfile: l.Bottle.Containerfile,
			Limits: limits, Audit: records, Log: slog.New(slog.DiscardHandler),
		}, queue).Serve(ctx, listener)
	}}
	server.start()
	l.stopAtEnd(server)
	l.Agent, err = mcp.NewClient(&mcp.Implementation{Name: "agent", Version: "1"}, nil).
		Connect(l.Context(), &mcp.StreamableClientTransport{Endpoint: "http://" + listener.Addr().String(), DisableStandaloneSSE: true}, nil)
	l.Must(err)
	l.Cleanup(func() { _ = l.Agent.Close() })
}

// stopAtEnd stops a process when the test ends; it must not have failed before.
func (l *Live) stopAtEnd(p *process) {
	l.Cleanup(func() {
		p.stop()
		if p.err != nil && !errors.Is(p.err, context.Canceled) {
			l.Error(p.err)
		}
	})
}

// freeAddr is a loopback address that nothing listens on.
func (l *Live) freeAddr() string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	l.Must(err)
	defer listener.Close()
	return listener.Addr().String()
}

// patience is how long is waited for what takes a moment, unless the machine is busy.
const patience = 2 * time.Minute

// dial waits until something answers at an address.
func dial(ctx context.Context, addr string) error {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr); err == nil {
			return conn.Close()
		}
	}
	return errors.New("nothing answers at " + addr)
}

// loopbackNames is a resolver over a DNS server for which every name is 127.0.0.1.
func loopbackNames(l *Live) *net.Resolver {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	l.Must(err)
	l.Cleanup(func() { _ = conn.Close() })
	go func() {
		query := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(query)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(query[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			reply := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true}, Questions: m.Questions}
			if q.Type == dnsmessage.TypeA {
				reply.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
					Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
				}}
			}
			if packed, err := reply.Pack(); err == nil {
				_, _ = conn.WriteTo(packed, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// Get makes a request as the agent and returns the status and the reason of a refusal.
func (l *Live) Get(host, path string) (int, string) {
	l.Helper()
	u := url.URL{Scheme: "https", Host: net.JoinHostPort(host, portText(l.Port)), Path: path}
	response, err := l.Web.Get(u.String())
	if err != nil {
		return 0, err.Error() // a port that no route has is refused at CONNECT
	}
	defer response.Body.Close()
	return response.StatusCode, response.Header.Get("Podbottle-Reason")
}

func portText(port int) string { return (&net.TCPAddr{Port: port}).String()[1:] }

// Answer is the result of a call.
type Answer struct {
	ID, Status, Notes, Granted, Scope string
	Err                               error
}

// Ask calls a tool as the agent and returns a channel for its answer, and the proposal.
func (l *Live) Ask(tool string, args map[string]any) (<-chan Answer, supervise.Proposal) {
	l.Helper()
	result := make(chan Answer, 1)
	go func() {
		var a Answer
		r, err := l.Agent.CallTool(context.Background(), &mcp.CallToolParams{Name: tool, Arguments: args})
		if err == nil {
			err = json.Unmarshal([]byte(r.Content[0].(*mcp.TextContent).Text), &a)
		}
		a.Err = err
		result <- a
	}()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		pending, damaged := l.Pending()
		if len(damaged) > 0 {
			l.Fatal(damaged)
		}
		if len(pending) == 1 {
			return result, pending[0]
		}
	}
	l.Fatal("the proposal never came")
	return nil, supervise.Proposal{}
}

// PreviewPort shows what a proposal would change, with the upstream's port, which
// egress-block cannot ask for.
func (l *Live) PreviewPort(p supervise.Proposal, until time.Time) supervise.Change {
	l.Helper()
	ask, err := p.Ask()
	l.Must(err)
	ask.Port = l.Port
	change, err := l.Preview(ask, time.Now(), until)
	l.Must(err)
	return change
}

// Operator decides in tests.
var Operator = supervise.Operator{User: "dev", UID: 1000, Host: "desk", Via: "test"}

// Untouched checks that a failed decision left everything as it was.
func (l *Live) Untouched(before map[string]string) {
	l.Helper()
	for path, want := range before {
		data, err := os.ReadFile(path)
		if want == "" && errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil || string(data) != want {
			l.Errorf("%s was changed: %v\n%s", filepath.Base(path), err, data)
		}
	}
	if pending, _ := l.Pending(); len(pending) != 1 {
		l.Errorf("%d proposals wait, want 1", len(pending))
	}
}

// Files are the contents of the files that an approval changes.
func (l *Live) Files() map[string]string {
	return map[string]string{
		l.Routes: l.Read(l.Routes), l.Bottle.Firewall: l.Read(l.Bottle.Firewall), filepath.Join(l.Secrets, "EGRESS_TOKEN_0"): "",
	}
}

// Records are the lines of the host's audit file.
func (l *Live) Records() []supervise.Record {
	l.Helper()
	var records []supervise.Record
	for line := range strings.Lines(l.Read(l.Audit)) {
		var r supervise.Record
		l.Must(json.Unmarshal([]byte(line), &r))
		records = append(records, r)
	}
	return records
}
