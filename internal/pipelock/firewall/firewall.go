// Package firewall is podbottle's own agent firewall, for hosts where pipelock
// cannot be had. It reads pipelock's configuration and enforces a part of it: the
// host allowlist, the guard against special-purpose addresses, and the scan of
// what is sent. It is not pipelock, has none of its other defences, and never
// takes its place unless the user asks.
package firewall

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync/atomic"
	"time"

	"code.dny.dev/ssrf"

	"github.com/podbottle/podbottle/internal/intercept"
	"github.com/podbottle/podbottle/internal/pipelock"
	"github.com/podbottle/podbottle/internal/secret"
)

const (
	dialTimeout      = 15 * time.Second
	handshakeTimeout = 15 * time.Second
	headerTimeout    = 30 * time.Second
	maxHeaderBytes   = 256 << 10
	flushDelay       = 2 * time.Millisecond
)

// Settings are what a Firewall needs besides its configuration.
type Settings struct {
	Slug string
	// Authority signs the certificates that egress sees.
	Authority *intercept.Authority
	// Ranges are the special-purpose addresses that each host may have.
	Ranges pipelock.HostRanges
	// Roots verify the upstreams.
	Roots *x509.CertPool
	// Known are the bottle's own secrets, which must not be sent anywhere.
	Known []secret.Value
	// Resolver resolves the names that are dialled; nil for the system's.
	Resolver *net.Resolver
	// Log takes one line a decision.
	Log *slog.Logger
}

// Firewall is a forward proxy on loopback.
type Firewall struct {
	settings Settings
	policy   atomic.Pointer[policy]
	public   *ssrf.Guardian
	forward  *httputil.ReverseProxy
	buffers  intercept.Buffers
	tunnels  *intercept.Server
	front    *http.Server
}

// policy is what a request is judged by.
type policy struct {
	config  pipelock.Config
	scanner *scanner // nil when the configuration asks for no scan
}

// New returns a firewall that enforces config.
func New(config pipelock.Config, settings Settings) *Firewall {
	f := &Firewall{settings: settings, public: ssrf.New(ssrf.WithAnyPort())}
	f.SetConfig(config)
	errors := httpErrors{settings.Log}
	f.forward = f.newForward(errors)
	f.tunnels = intercept.NewServer(settings.Authority, http.HandlerFunc(f.serveTunnelled), errors)
	f.front = &http.Server{
		Handler:           http.HandlerFunc(f.serveFront),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       f.idleTimeout(),
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          log.New(errors, "", 0),
	}
	return f
}

// SetConfig has every further request judged by config; those under way go on.
func (f *Firewall) SetConfig(config pipelock.Config) {
	f.policy.Store(&policy{config, newScanner(config.RequestBodyScanning, f.settings.Known)})
}

func (f *Firewall) idleTimeout() time.Duration {
	return time.Duration(f.policy.Load().config.ForwardProxy.IdleTimeoutSeconds) * time.Second
}

// Serve answers on l until ctx ends, and then drops every connection.
func (f *Firewall) Serve(ctx context.Context, l net.Listener) error {
	done := make(chan error, 2)
	go func() { done <- f.tunnels.Run() }()
	go func() { done <- f.front.Serve(l) }()
	var err error
	select {
	case <-ctx.Done():
	case err = <-done:
	}
	closing := errors.Join(f.front.Close(), f.tunnels.Close())
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return closing
}

// transports send a request on in the version it came in.
type transports struct{ http1, any *http.Transport }

// RoundTrip implements http.RoundTripper.
func (t transports) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Context().Value(destinationKey{}).(destination).request.ProtoMajor == 1 {
		return t.http1.RoundTrip(r)
	}
	return t.any.RoundTrip(r)
}

func (f *Firewall) newTransports() transports {
	t := transports{http1: f.newTransport(), any: f.newTransport()}
	t.http1.Protocols = new(http.Protocols)
	t.http1.Protocols.SetHTTP1(true)
	return t
}

func (f *Firewall) newTransport() *http.Transport {
	return &http.Transport{
		DialContext:           f.dial,
		TLSClientConfig:       &tls.Config{RootCAs: f.settings.Roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:     true,
		DisableCompression:    true,
		TLSHandshakeTimeout:   handshakeTimeout,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConns:          256,
		MaxIdleConnsPerHost:   64,
		HTTP2:                 intercept.HTTP2(intercept.FarWindow),
	}
}

// httpErrors turns what net/http reports about connections into log lines.
type httpErrors struct{ log *slog.Logger }

var _ io.Writer = httpErrors{}

func (h httpErrors) Write(p []byte) (int, error) {
	h.log.Debug("http", "error", strings.TrimSpace(string(p)))
	return len(p), nil
}
