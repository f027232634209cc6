// Package proxy is the egress sidecar: a forward proxy that ends the agent's TLS,
// lets out what the route table allows, replaces the agent's credentials with the
// real ones, and sends everything on through the firewall. It never dials
// anything but the firewall.
package proxy

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/podbottle/podbottle/internal/audit"
	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/intercept"
)

const (
	headerTimeout  = 30 * time.Second
	idleTimeout    = 10 * time.Minute
	maxHeaderBytes = 256 << 10
	recordTime     = 700 * time.Millisecond // of the second that the sidecar has to stop
)

// Config is what a Proxy needs.
type Config struct {
	Slug string
	// Authority signs the certificates that the agent sees.
	Authority *intercept.Authority
	// Firewall is where the next proxy listens.
	Firewall netip.AddrPort
	// PreferHTTP2 sends requests that came in HTTP/1.1 on in HTTP/2 where the firewall
	// intercepts their TLS.
	PreferHTTP2 bool
	// Roots are trusted on the upstream leg: the firewall's own authority, and those
	// of the hosts whose TLS it passes through.
	Roots *x509.CertPool
	// TokenDir holds one file a token slot.
	TokenDir string
	// GitGate is the URL that a refused git push points at; empty when there is none.
	GitGate string
	// Supervise says that the agent can ask there for what is refused.
	Supervise bool
	// AgentReady is called when the agent's handover reports.
	AgentReady func() error
	// IdleTimeout is how long an exchange may stand still; ten minutes if zero.
	IdleTimeout time.Duration
	// Audit takes one record a decision.
	Audit *audit.Writer
	// Log takes one line a decision.
	Log *slog.Logger
}

// Proxy is the forward proxy. Its route table can be replaced while it serves.
type Proxy struct {
	config   Config
	policy   atomic.Pointer[policy]
	tokens   tokens
	recorder recorder
	metrics  *metrics
	forward  *httputil.ReverseProxy
	buffers  intercept.Buffers
	tunnels  *intercept.Server
	front    *http.Server
	inflight sync.WaitGroup // exchanges that are not recorded yet
	open     atomic.Int64   // how many they are
	// namesReasons is set when the firewall gives reasons (package denial) with its
	// answers. From one that does not, the same header would be the upstream's.
	namesReasons atomic.Bool
}

// New returns a proxy that lets nothing out until SetRoutes is called.
func New(config Config) *Proxy {
	if config.IdleTimeout == 0 {
		config.IdleTimeout = idleTimeout
	}
	p := &Proxy{
		config: config, tokens: tokens{dir: config.TokenDir}, metrics: newMetrics(),
		recorder: recorder{slug: config.Slug, log: config.Log, audit: config.Audit},
	}
	errors := httpErrors{config.Log}
	p.policy.Store(&policy{})
	p.forward = newForward(config, errors)
	p.tunnels = intercept.NewServer(config.Authority, http.HandlerFunc(p.serveTunnelled), errors)
	p.tunnels.Malformed = p.recordMalformed
	p.front = &http.Server{
		Handler:           http.HandlerFunc(p.serveFront),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          log.New(errors, "", 0),
	}
	return p
}

// SetRoutes replaces the route table for the requests that come from now on. On
// error the old one stays.
func (p *Proxy) SetRoutes(routes []egress.Route, generation int) error {
	policy, err := newPolicy(routes, generation)
	if err != nil {
		return err
	}
	p.policy.Store(policy)
	p.metrics.generation.Set(float64(generation))
	return nil
}

// Serve answers on l until ctx ends, and then drops every connection.
func (p *Proxy) Serve(ctx context.Context, l net.Listener) error {
	done := make(chan error, 2)
	go func() { done <- p.tunnels.Run() }()
	go func() { done <- p.front.Serve(intercept.KeepHeads(p.front, l)) }()
	var err error
	select {
	case <-ctx.Done():
	case err = <-done:
	}
	closing := errors.Join(p.front.Close(), p.tunnels.Close())
	p.waitForRecords()
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return closing
}

// waitForRecords gives the exchanges that were cut the time to leave their record.
func (p *Proxy) waitForRecords() {
	done := make(chan struct{})
	go func() { p.inflight.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(recordTime):
		p.config.Log.Error("some requests left no record")
	}
}

// serveFront answers on the proxy's own port: CONNECT and absolute-form requests.
func (p *Proxy) serveFront(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodConnect:
		p.connect(w, r)
	case r.URL.Scheme == "http" && r.URL.Host != "":
		p.serve(w, r, nil)
	default:
		x := p.begin(w, r)
		defer x.finish()
		x.refuse(verdict{reason: ReasonBadRequest, detail: "this is a proxy: it takes CONNECT, and http:// URLs in absolute form"})
	}
}

// serveTunnelled answers a request that came out of a tunnel.
func (p *Proxy) serveTunnelled(w http.ResponseWriter, r *http.Request) {
	target, ok := intercept.TargetOf(r.Context())
	if !ok {
		panic("request without a tunnel")
	}
	p.serve(w, r, &target)
}

// recordMalformed leaves a record of a request that net/http reset without showing it
// to anybody; for whom it was is not known here.
func (p *Proxy) recordMalformed(what string) {
	record := egress.Record{
		Event: egress.EventTunnel, Verdict: egress.VerdictDeny, Reason: string(ReasonBadRequest),
		Generation: p.policy.Load().generation, Detail: "malformed request, HTTP/2: " + what,
	}
	p.recorder.write(record)
	p.metrics.count(record)
}

// serve judges one request and forwards it or says why not. tunnel is what the request
// came out of; nil for plain HTTP. It judges in a function of its own, whose frame is
// gone while a stream is open.
func (p *Proxy) serve(w http.ResponseWriter, r *http.Request, tunnel *intercept.Target) {
	x := p.begin(w, r)
	defer x.finish()
	switch v := p.judge(x, tunnel); {
	case !v.allowed():
		x.refuse(v)
	case x.host == egress.IntrospectionHost:
		p.introspect(x)
	default:
		x.forward(p.forward)
	}
}

// judge decides whether a request may go on, and readies it for that.
func (p *Proxy) judge(x *exchange, tunnel *intercept.Target) verdict {
	if v := x.address(tunnel); !v.allowed() || x.host == egress.IntrospectionHost {
		return v
	}
	if p.recorder.broken.Load() {
		return verdict{reason: ReasonAudit, detail: "the audit file cannot be written; nothing is let out until it can"}
	}
	policy := p.policy.Load()
	x.generation = policy.generation
	v := policy.decide(question{
		method: x.r.Method, host: x.host, port: x.port, tls: x.encrypted,
		path: x.path, query: x.r.URL.RawQuery, header: x.r.Header, now: x.start,
	})
	x.route = v.route
	if !v.allowed() {
		return v
	}
	x.authHeaders = policy.authHeaders
	stripCredentials(x.r.Header, x.authHeaders)
	return p.authorize(x)
}

// address finds out for whom a request is, and whether that can be told in one way only.
// Inside a tunnel the request must name the tunnel's target.
func (x *exchange) address(tunnel *intercept.Target) verdict {
	defaultPort := 80
	if tunnel != nil {
		defaultPort = tunnel.Port
	}
	host, port, err := egress.ParseHostPort(x.r.Host, defaultPort)
	if err != nil {
		return badHost(err)
	}
	x.host, x.port = host, port
	if intercept.AmbiguousLength(x.r) {
		x.w.Header().Set("Connection", "close")
		return verdict{reason: ReasonBadRequest, detail: "the body's length is given by both Transfer-Encoding and Content-Length"}
	}
	if tunnel != nil && (host != tunnel.Host || port != tunnel.Port) {
		return verdict{reason: ReasonHostMismatch, detail: "the request is for another host than its CONNECT was"}
	}
	return verdict{reason: ReasonAllowed}
}

// authorize readies the credential of the route, if it has one.
func (p *Proxy) authorize(x *exchange) verdict {
	if x.route.AuthScheme == "" {
		return verdict{reason: ReasonAllowed}
	}
	if !x.encrypted {
		return verdict{reason: ReasonPlaintext, detail: "this host's token is only sent over TLS; use https"}
	}
	slot := p.tokens.get(x.route.TokenEnv)
	x.token = slot.value
	if x.token.Empty() {
		return verdict{reason: ReasonNoToken, detail: "the token slot " + x.route.TokenEnv + " of this route has no value; the operator has to start the bottle with one"}
	}
	if !x.route.AllowReflection {
		x.masker = slot.matcher
	}
	return verdict{reason: ReasonAllowed}
}

func badHost(err error) verdict {
	if errors.Is(err, egress.ErrIPLiteral) {
		return verdict{reason: ReasonIPLiteral, detail: "addresses are refused; use the host's name"}
	}
	return verdict{reason: ReasonBadHost, detail: "the host cannot be used: " + err.Error()}
}

// httpErrors turns what net/http reports about connections into log lines. It
// is only interesting to somebody who debugs the proxy.
type httpErrors struct{ log *slog.Logger }

var _ io.Writer = httpErrors{}

func (h httpErrors) Write(p []byte) (int, error) {
	h.log.Debug("http", "error", strings.TrimSpace(string(p)))
	return len(p), nil
}
