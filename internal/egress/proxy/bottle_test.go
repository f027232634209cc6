package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/podbottle/podbottle/internal/audit"
	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/egress/conformance"
	"github.com/podbottle/podbottle/internal/intercept"
	"github.com/podbottle/podbottle/internal/pipelock"
	"github.com/podbottle/podbottle/internal/pipelock/firewall"
)

// testToken is the credential that the upstreams must see and the client must not.
const testToken = "tok-5f3a9c1d7e2b8064-podbottle-test"

// bottle is the way out of a bottle, all of it in this process and on loopback:
// client → egress → built-in firewall → upstream, each leg real TLS.
type bottle struct {
	t        testing.TB
	proxy    *Proxy
	proxyURL *url.URL
	trust    *x509.CertPool // what the agent trusts
	tokenDir string
	upstream *httptest.Server
	port     int    // of the upstream
	host     string // of the upstream, a name that resolves to loopback
	ready    int    // calls of agent-ready

	auditFile    string
	upstreamCA   []byte // PEM
	stopFirewall func()
	preferHTTP2  bool // set by what starts the firewall
	namesReasons bool // the same
}

// newBottle starts a TLS upstream under the name host and a way to it. edit may
// change the route, which injects testToken as a bearer token, and add others.
func newBottle(t testing.TB, handler http.Handler, edit func(*egress.Route) []egress.Route) *bottle {
	t.Helper()
	return newBottleBehind(t, "api.example.org", handler, edit, (*bottle).startFirewall)
}

// firewallStart starts a firewall and returns its address and authority.
type firewallStart func(b *bottle, routes []egress.Route) (netip.AddrPort, *x509.CertPool)

func newBottleBehind(t testing.TB, host string, handler http.Handler, edit func(*egress.Route) []egress.Route, start firewallStart) *bottle {
	t.Helper()
	b := &bottle{t: t, host: host, tokenDir: t.TempDir()}
	b.startUpstream(handler)
	b.setToken(testToken)

	route := egress.Route{
		Host: b.host, Port: b.port, AuthScheme: egress.SchemeBearer, TokenEnv: "EGRESS_TOKEN_0",
		SSRFIPAllowlist: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}
	var routes []egress.Route
	if edit != nil {
		routes = edit(&route)
	}
	routes = append(routes, route)
	for i := range routes {
		routes[i].SSRFIPAllowlist = route.SSRFIPAllowlist // every name is on loopback
	}
	firewallAddr, firewallCA := start(b, routes)

	agentCA, authority := newAuthority(t)
	b.trust = agentCA
	b.proxy = New(Config{
		Slug: "test", Authority: authority, Firewall: firewallAddr, Roots: firewallCA, TokenDir: b.tokenDir, PreferHTTP2: b.preferHTTP2, Supervise: true,
		AgentReady: func() error { b.ready++; return nil }, Audit: b.openAudit(), Log: quiet(),
	})
	b.proxy.namesReasons.Store(b.namesReasons)
	if err := b.proxy.SetRoutes(routes, 1); err != nil {
		t.Fatal(err)
	}
	address, _ := serve(t, b.proxy.Serve)
	b.proxyURL = &url.URL{Scheme: "http", Host: address.String()}
	return b
}

func (b *bottle) openAudit() *audit.Writer {
	b.t.Helper()
	b.auditFile = filepath.Join(b.t.TempDir(), egress.AuditFile)
	w, err := audit.Open(b.auditFile)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = w.Close() })
	return w
}

func (b *bottle) setToken(value string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.tokenDir, "EGRESS_TOKEN_0"), []byte(value), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bottle) startUpstream(handler http.Handler) {
	certPEM, keyPEM := mint(b.t)
	ca, authority := authorityOf(b.t, certPEM, keyPEM)
	b.upstreamCA = certPEM
	b.upstream = httptest.NewUnstartedServer(handler)
	b.upstream.EnableHTTP2 = true
	b.upstream.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	b.upstream.TLS = &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		return authority.Leaf(strings.Replace(hello.ServerName, ".covered.", ".uncovered.", 1))
	}}
	b.upstream.StartTLS()
	b.t.Cleanup(b.upstream.Close)
	b.trust = ca // until the proxy's own replaces it
	b.port = portOf(b.upstream)
}

func portOf(s *httptest.Server) int { return s.Listener.Addr().(*net.TCPAddr).Port }

// startFirewall runs the built-in firewall with a resolver that knows every name as 127.0.0.1.
func (b *bottle) startFirewall(routes []egress.Route) (netip.AddrPort, *x509.CertPool) {
	pool, authority := newAuthority(b.t)
	f := firewall.New(pipelock.NewConfig(routes), firewall.Settings{
		Slug: "test", Authority: authority, Ranges: pipelock.NewHostRanges(routes), Roots: b.trust, Resolver: loopbackResolver(b.t), Log: quiet(),
	})
	addr, stop := serve(b.t, f.Serve)
	b.stopFirewall = stop
	pool.AppendCertsFromPEM(b.upstreamCA) // for what is passed through
	b.namesReasons = true
	return addr, pool
}

// client returns an HTTP client as it would run in the agent; without h2 it speaks HTTP/1.1 only.
func (b *bottle) client(h2 bool) *http.Client {
	client := (&conformance.Agent{Proxy: b.proxyURL.Host, Trust: b.trust}).Client(h2)
	b.t.Cleanup(client.CloseIdleConnections)
	return client
}

// authority is the upstream's in CONNECT and Host.
func (b *bottle) authority() string { return net.JoinHostPort(b.host, strconv.Itoa(b.port)) }

// records returns what the audit file holds.
func (b *bottle) records() []egress.Record {
	b.t.Helper()
	b.proxy.inflight.Wait()
	file, err := os.Open(b.auditFile)
	if err != nil {
		b.t.Fatal(err)
	}
	defer file.Close()
	var records []egress.Record
	for line, err := range audit.Lines(file) {
		if err != nil {
			b.t.Fatal(err)
		}
		var r egress.Record
		if err := json.Unmarshal(line, &r); err != nil {
			b.t.Fatal(err)
		}
		records = append(records, r)
	}
	return records
}

// url is the upstream's address as the agent writes it.
func (b *bottle) url(path string) string {
	return "https://" + b.authority() + path
}

// serve runs a server on a free port of loopback until stop is called or the test ends.
func serve(t testing.TB, run func(context.Context, net.Listener) error) (addr netip.AddrPort, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx, l) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serving: %v", err)
		}
	})
	t.Cleanup(stop)
	return netip.MustParseAddrPort(l.Addr().String()), stop
}

func newAuthority(t testing.TB) (*x509.CertPool, *intercept.Authority) {
	t.Helper()
	certPEM, keyPEM := mint(t)
	return authorityOf(t, certPEM, keyPEM)
}

func mint(t testing.TB) (certPEM, keyPEM []byte) {
	t.Helper()
	certPEM, keyPEM, err := egress.MintCA("test", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return certPEM, keyPEM
}

func authorityOf(t testing.TB, certPEM, keyPEM []byte) (*x509.CertPool, *intercept.Authority) {
	t.Helper()
	authority, err := intercept.NewAuthority(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return pool, authority
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// loopbackResolver asks a real DNS server in this process, which answers every
// question for an IPv4 address with 127.0.0.1, but for a name below inside with 10.0.0.1 and
// for one below invalid not at all.
func loopbackResolver(t testing.TB) *net.Resolver {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer, err := answerLoopback(buf[:n]); err == nil {
				_, _ = server.WriteTo(answer, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}

func answerLoopback(query []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		return nil, err
	}
	m.Response, m.Additionals = true, nil
	for _, q := range m.Questions {
		address := [4]byte{127, 0, 0, 1}
		switch name := q.Name.String(); {
		case strings.HasSuffix(name, ".invalid."):
			m.RCode = dnsmessage.RCodeNameError
			continue
		case strings.HasPrefix(name, "inside."):
			address = [4]byte{10, 0, 0, 1}
		}
		if q.Type == dnsmessage.TypeA {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1},
				Body:   &dnsmessage.AResource{A: address},
			})
		}
	}
	return m.Pack()
}

// get makes a request and returns the response with its whole body.
func get(t testing.TB, client *http.Client, url string, header http.Header) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	return do(t, client, req)
}

// do sends a request and reads the whole answer.
func do(t testing.TB, client *http.Client, req *http.Request) (*http.Response, string) {
	t.Helper()
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}
