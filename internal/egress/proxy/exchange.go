package proxy

import (
	"context"
	"errors"
	"net/http"
	"net/http/httputil"
	"sync/atomic"
	"time"

	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/footprint"
	"github.com/podbottle/podbottle/internal/intercept"
	"github.com/podbottle/podbottle/internal/leak"
	"github.com/podbottle/podbottle/internal/secret"
)

// refusalTime is how long a client may take to read a refusal.
const refusalTime = 10 * time.Second

// maxRecordedPath bounds the path in a record.
const maxRecordedPath = 1024

// exchange is one request on its way through the proxy. It leaves one record,
// when it is over.
type exchange struct {
	proxy *Proxy
	w     http.ResponseWriter
	r     *http.Request
	start time.Time

	encrypted  bool
	host       string
	port       int
	path       requestPath
	route      *egress.Route
	token      secret.Value
	masker     *leak.Matcher // masks token in the response; nil for nothing to mask
	generation int
	// authHeaders are stripped from what the agent sends.
	authHeaders []string

	event  string
	reason Reason
	status int
	detail string

	sent, received atomic.Int64
	answered       atomic.Bool  // the response's header went out
	touched        atomic.Int64 // when a byte last moved, in nanoseconds since start
}

// begin starts an exchange. Its finish must be called.
func (p *Proxy) begin(w http.ResponseWriter, r *http.Request) *exchange {
	p.inflight.Add(1)
	p.open.Add(1)
	footprint.ReleaseLater()
	p.metrics.inflight.Inc()
	path := parsePath(r.URL.EscapedPath())
	if r.ProtoMajor > 1 && r.URL.Host != "" {
		path.malformed = ":path is a URL" // net/http takes its path and ignores the rest
	}
	return &exchange{
		proxy: p, w: w, r: r, start: time.Now(), encrypted: intercept.Encrypted(r), path: path,
		event: egress.EventRequest, generation: p.policy.Load().generation,
	}
}

// tunnelled tells whether the firewall passes the exchange on without reading it, so
// that egress itself has the upstream's TLS, and whatever answers is the upstream.
func (x *exchange) tunnelled() bool { return x.encrypted && x.route.TLSPassthrough }

// finish records the exchange.
func (x *exchange) finish() {
	defer x.proxy.inflight.Done()
	x.proxy.open.Add(-1)
	footprint.ReleaseLater()
	x.proxy.metrics.inflight.Dec()
	if x.reason == "" {
		return // a tunnel: the requests in it are recorded
	}
	verdict := egress.VerdictDeny
	if x.reason == ReasonAllowed {
		verdict = egress.VerdictAllow
	}
	record := egress.Record{
		Event: x.event, Verdict: verdict, Reason: string(x.reason), Method: shorten(x.r.Method, 32),
		Host: x.host, Port: x.port, Path: shorten(x.path.escaped, maxRecordedPath), Status: x.status,
		Sent: x.sent.Load(), Received: x.received.Load(),
		DurationMS: float64(time.Since(x.start).Microseconds()) / 1000, Generation: x.generation, Detail: x.detail,
	}
	if x.route != nil {
		record.Route = x.route.Host
	}
	x.proxy.recorder.write(record)
	x.proxy.metrics.count(record)
}

func shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return s[:most-3] + "..."
}

// refuse answers with the reason.
func (x *exchange) refuse(v verdict) {
	x.reason, x.status = v.reason, v.reason.status()
	if v.route != nil {
		x.route = v.route
	}
	answer := refusal{Reason: v.reason, Message: v.detail, Host: x.host, Port: x.port, Path: x.path.escaped, Method: x.r.Method}
	answer.advise(x.proxy.config.GitGate, x.proxy.config.Supervise)
	answer.write(x.w, x.r.Header.Get("Accept"))
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange { return ctx.Value(exchangeKey{}).(*exchange) }

// errIdle is the cause when an exchange is cut because nothing moved.
var errIdle = errors.New("no byte moved for ten minutes")

// forward sends the request on and the response back. An exchange in which
// nothing moves for the idle timeout is cut; one that moves may take forever.
func (x *exchange) forward(proxy *httputil.ReverseProxy) {
	x.reason = ReasonAllowed
	ctx, cancel := context.WithCancelCause(context.WithValue(x.r.Context(), exchangeKey{}, x))
	defer x.end(ctx, cancel, x.watch(cancel))
	x.proxy.buffers.Fit(proxy).ServeHTTP(&maskedHeader{ResponseWriter: x.w, masker: x.masker}, x.r.WithContext(ctx))
	_ = http.NewResponseController(x.w).Flush() // what is left need not wait for the record
}

// watch cuts the exchange when nothing has moved for the idle timeout.
func (x *exchange) watch(cut context.CancelCauseFunc) *time.Timer {
	quiet := func() time.Duration { return time.Since(x.start) - time.Duration(x.touched.Load()) }
	return newIdleTimer(x.proxy.config.IdleTimeout, quiet, func() {
		cut(errIdle)
		grace := refusalTime
		if x.answered.Load() {
			grace = 0 // nothing more can be said: free the writer, if it waits for the client
		}
		_ = http.NewResponseController(x.w).SetWriteDeadline(time.Now().Add(grace))
	})
}

// end stops watching, and notes whether that cut the exchange.
func (x *exchange) end(ctx context.Context, cancel context.CancelCauseFunc, watch *time.Timer) {
	watch.Stop()
	if errors.Is(context.Cause(ctx), errIdle) {
		x.detail = errIdle.Error()
	}
	cancel(nil)
}

// newIdleTimer calls expire once quiet reports a time of at least timeout. It
// looks when that may first be so, instead of being reset by every byte.
func newIdleTimer(timeout time.Duration, quiet func() time.Duration, expire func()) *time.Timer {
	timer := make(chan *time.Timer, 1)
	t := time.AfterFunc(timeout, func() {
		self := <-timer
		timer <- self
		if left := timeout - quiet(); left > 0 {
			self.Reset(left)
			return
		}
		expire()
	})
	timer <- t
	return t
}

// touch notes that bytes moved.
func (x *exchange) touch() { x.touched.Store(int64(time.Since(x.start))) }
