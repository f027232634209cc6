package supervise_test

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

	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/egress/proxy"
	"github.com/podbottle/podbottle/internal/intercept"
	"github.com/podbottle/podbottle/internal/pipelock"
	"github.com/podbottle/podbottle/internal/pipelock/firewall"
	"github.com/podbottle/podbottle/internal/supervise"
	"github.com/podbottle/podbottle/internal/supervise/mcpserver"
)

// live is a bottle without containers: the real supervise server, egress and
// firewall in this process, with their files where podbottle puts them, and an
// upstream that counts what reaches it.
type live struct {
	testing.TB
	supervise.Bottle
	dir      string
	agent    *mcp.ClientSession
	web      *http.Client // the agent's, through egress
	port     int          // of the upstream
	hits     atomic.Int64
	lastAuth atomic.Value // Authorization of the last request, as the upstream saw it

	stopEgress func()
	firewall   *process
}

// process is a service that can be stopped and started again.
type process struct {
	run  func(context.Context) error
	stop func()
}

func (p *process) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.run(ctx) }()
	p.stop = sync.OnceFunc(func() { cancel(); <-done })
}

// newLive starts a bottle with one route, to known.example.org/v1/.
func newLive(t testing.TB) *live {
	t.Helper()
	l := &live{TB: t, dir: t.TempDir()}
	for _, dir := range []string{"egress/config", "egress/secrets", "egress/run", "egress/data", "pipelock/config", "state"} {
		if err := os.MkdirAll(l.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	upstreamCA := l.startUpstream()
	known := egress.Route{
		Host: "known.example.org", Port: l.port, PathAllowlist: []string{"/v1/"},
		SSRFIPAllowlist: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}
	table, err := egress.FormatRoutes([]egress.Route{known})
	l.must(err)
	l.write("egress/config/routes.yaml", table)
	config, err := pipelock.NewConfig([]egress.Route{known}).Marshal()
	l.must(err)
	l.write("pipelock/config/pipelock.yaml", config)
	l.Bottle = supervise.Bottle{
		Slug: "demo-abc12", Queue: l.path("queue/demo-abc12"), Audit: l.path("state/audit.jsonl"),
		Routes: l.path("egress/config/routes.yaml"), RoutesStatus: l.path("egress/run/routes.json"), Secrets: l.path("egress/secrets"),
		Firewall: l.path("pipelock/config/pipelock.yaml"), Containerfile: l.path("state/Dockerfile"),
	}
	l.startSidecars(upstreamCA)
	return l
}

func (l *live) path(name string) string { return filepath.Join(l.dir, name) }

func (l *live) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

func (l *live) write(name string, data []byte) {
	l.Helper()
	l.must(os.WriteFile(l.path(name), data, 0o644))
}

func (l *live) read(name string) string {
	l.Helper()
	data, err := os.ReadFile(name)
	l.must(err)
	return string(data)
}

// startUpstream serves every example.org name and returns who signs for them.
func (l *live) startUpstream() *x509.CertPool {
	cert, key, err := egress.MintCA("upstream", time.Now(), time.Hour)
	l.must(err)
	authority, err := intercept.NewAuthority(cert, key)
	l.must(err)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.hits.Add(1)
		l.lastAuth.Store(r.Header.Get("Authorization"))
		_, _ = w.Write([]byte("hello"))
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.TLS = &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) { return authority.Leaf(hello.ServerName) }}
	server.StartTLS()
	l.Cleanup(server.Close)
	l.port = server.Listener.Addr().(*net.TCPAddr).Port
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return pool
}

// startSidecars starts the firewall, egress and supervise, and connects the agent.
func (l *live) startSidecars(upstreamCA *x509.CertPool) {
	firewallCert, firewallKey, err := egress.MintCA("firewall", time.Now(), time.Hour)
	l.must(err)
	firewallAuthority, err := intercept.NewAuthority(firewallCert, firewallKey)
	l.must(err)
	firewallAddr := l.freeAddr()
	names := loopbackNames(l)
	l.firewall = &process{run: func(ctx context.Context) error {
		config, err := pipelock.ParseConfig([]byte(l.read(l.Bottle.Firewall)))
		if err != nil {
			return err
		}
		listener, err := net.Listen("tcp", firewallAddr)
		if err != nil {
			return err
		}
		return firewall.New(config, firewall.Settings{
			Slug: "demo-abc12", Authority: firewallAuthority, Roots: upstreamCA, Resolver: names, Log: slog.New(slog.DiscardHandler),
		}).Serve(ctx, listener)
	}}
	l.firewall.start()
	l.Cleanup(func() { l.firewall.stop() })
	l.ReloadFirewall = func(ctx context.Context) error { // as with pipelock: a restart of that one container
		l.firewall.stop()
		l.firewall.start()
		return dial(ctx, firewallAddr)
	}

	agentCert, agentKey, err := egress.MintCA("agent", time.Now(), time.Hour)
	l.must(err)
	l.write("egress/secrets/ca.crt", agentCert)
	l.write("egress/secrets/ca.key", agentKey)
	l.write("egress/secrets/firewall-ca.crt", firewallCert)
	egressAddr := l.freeAddr()
	way := &process{run: func(ctx context.Context) error {
		return proxy.Run(ctx, []string{
			"--slug", "demo-abc12", "--listen", egressAddr, "--firewall", firewallAddr, "--config", l.path("egress/config"),
			"--secrets", l.path("egress/secrets"), "--run", l.path("egress/run"), "--state", l.path("egress/data"),
		})
	}}
	way.start()
	l.stopEgress = func() { way.stop() }
	l.Cleanup(l.stopEgress)
	l.must(dial(context.Background(), egressAddr))
	trust := x509.NewCertPool()
	trust.AppendCertsFromPEM(agentCert)
	l.web = &http.Client{Transport: &http.Transport{
		Proxy:           http.ProxyURL(&url.URL{Scheme: "http", Host: egressAddr}),
		TLSClientConfig: &tls.Config{RootCAs: trust}, DisableKeepAlives: true,
	}}

	l.must(supervise.CreateQueue(l.Queue))
	queue, err := supervise.OpenQueue(l.Queue)
	l.must(err)
	l.Cleanup(func() { _ = queue.Close() })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	l.must(err)
	limits := mcpserver.DefaultLimits
	limits.Burst = 1 << 20 // the benchmark asks without pause
	server := &process{run: func(ctx context.Context) error {
		return mcpserver.New(mcpserver.Config{
			Slug: "demo-abc12", OnApproval: supervise.DefaultWait, RoutesFile: l.Routes, Containerfile: l.Bottle.Containerfile,
			Limits: limits, Log: slog.New(slog.DiscardHandler),
		}, queue).Serve(ctx, listener)
	}}
	server.start()
	l.Cleanup(func() { server.stop() })
	l.agent, err = mcp.NewClient(&mcp.Implementation{Name: "agent", Version: "1"}, nil).
		Connect(l.Context(), &mcp.StreamableClientTransport{Endpoint: "http://" + listener.Addr().String(), DisableStandaloneSSE: true}, nil)
	l.must(err)
	l.Cleanup(func() { _ = l.agent.Close() })
}

// freeAddr is a loopback address that nothing listens on.
func (l *live) freeAddr() string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	l.must(err)
	defer listener.Close()
	return listener.Addr().String()
}

// dial waits until something answers at an address.
func dial(ctx context.Context, addr string) error {
	for range 1000 {
		if conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr); err == nil {
			return conn.Close()
		}
		time.Sleep(5 * time.Millisecond)
	}
	return errors.New("nothing answers at " + addr)
}

// loopbackNames is a resolver over a DNS server for which every name is 127.0.0.1.
func loopbackNames(l *live) *net.Resolver {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	l.must(err)
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

// get makes a request as the agent and returns the status and the reason of a refusal.
func (l *live) get(host, path string) (int, string) {
	l.Helper()
	u := url.URL{Scheme: "https", Host: net.JoinHostPort(host, portText(l.port)), Path: path}
	response, err := l.web.Get(u.String())
	if err != nil {
		return 0, err.Error() // a port that no route has is refused at CONNECT
	}
	defer response.Body.Close()
	return response.StatusCode, response.Header.Get("Podbottle-Reason")
}

func portText(port int) string { return (&net.TCPAddr{Port: port}).String()[1:] }

// answered is the result of a call.
type answered struct {
	ID, Status, Notes, Granted, Scope string
	err                               error
}

// ask calls a tool as the agent and returns a channel for its answer, and the proposal.
func (l *live) ask(tool string, args map[string]any) (<-chan answered, supervise.Proposal) {
	l.Helper()
	result := make(chan answered, 1)
	go func() {
		var a answered
		r, err := l.agent.CallTool(context.Background(), &mcp.CallToolParams{Name: tool, Arguments: args})
		if err == nil {
			err = json.Unmarshal([]byte(r.Content[0].(*mcp.TextContent).Text), &a)
		}
		a.err = err
		result <- a
	}()
	for range 1000 {
		pending, damaged := l.Pending()
		if len(damaged) > 0 {
			l.Fatal(damaged)
		}
		if len(pending) == 1 {
			return result, pending[0]
		}
		time.Sleep(2 * time.Millisecond)
	}
	l.Fatal("the proposal never came")
	return nil, supervise.Proposal{}
}

// preview shows what a proposal would change, with the upstream's port, which
// egress-block cannot ask for.
func (l *live) preview(p supervise.Proposal, until time.Time) supervise.Change {
	l.Helper()
	ask, err := p.Ask()
	l.must(err)
	ask.Port = l.port
	change, err := l.Preview(ask, time.Now(), until)
	l.must(err)
	return change
}

var operator = supervise.Operator{User: "dev", UID: 1000, Host: "desk", Via: "test"}

// untouched checks that a failed decision left everything as it was.
func (l *live) untouched(before map[string]string) {
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

func (l *live) snapshot() map[string]string {
	return map[string]string{
		l.Routes: l.read(l.Routes), l.Bottle.Firewall: l.read(l.Bottle.Firewall), filepath.Join(l.Secrets, "EGRESS_TOKEN_0"): "",
	}
}

// records are the lines of the host's audit file.
func (l *live) records() []supervise.Record {
	l.Helper()
	var records []supervise.Record
	for line := range strings.Lines(l.read(l.Audit)) {
		var r supervise.Record
		l.must(json.Unmarshal([]byte(line), &r))
		records = append(records, r)
	}
	return records
}
