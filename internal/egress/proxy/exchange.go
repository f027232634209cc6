package proxy

import (
	"context"
	"errors"
	"net/http"
	"net/http/httputil"
	"sync/atomic"
	"time"

	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/secret"
)

// exchange is one request on its way through the proxy.
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
	generation int

	sent, received atomic.Int64
	touched        atomic.Int64 // when a byte last moved, in nanoseconds since start
}

func (p *Proxy) begin(w http.ResponseWriter, r *http.Request, encrypted bool) *exchange {
	return &exchange{proxy: p, w: w, r: r, start: time.Now(), encrypted: encrypted, path: parsePath(r.URL.EscapedPath())}
}

// refuse answers with the reason and records it.
func (x *exchange) refuse(v verdict) {
	answer := refusal{Reason: v.reason, Message: v.detail, Host: x.host, Port: x.port, Path: x.path.escaped, Method: x.r.Method}
	answer.advise(x.proxy.config.GitGate)
	x.record(v.reason, v.reason.status())
	answer.write(x.w, x.r.Header.Get("Accept"))
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange { return ctx.Value(exchangeKey{}).(*exchange) }

// errIdle is the cause when an exchange is cut because nothing moved.
var errIdle = errors.New("no byte moved for ten minutes")

// forward sends the request on and the response back. An exchange in which
// nothing moves for idleTimeout is cut; one that moves may take forever.
func (x *exchange) forward(proxy *httputil.ReverseProxy) {
	ctx, cancel := context.WithCancelCause(context.WithValue(x.r.Context(), exchangeKey{}, x))
	defer cancel(nil)
	var idle *time.Timer
	idle = time.AfterFunc(idleTimeout, func() {
		quiet := time.Since(x.start) - time.Duration(x.touched.Load())
		if quiet < idleTimeout {
			idle.Reset(idleTimeout - quiet)
			return
		}
		cancel(errIdle)
		_ = http.NewResponseController(x.w).SetWriteDeadline(time.Now())
	})
	defer idle.Stop()
	proxy.ServeHTTP(x.w, x.r.WithContext(ctx))
}

// touch notes that bytes moved.
func (x *exchange) touch() { x.touched.Store(int64(time.Since(x.start))) }

// record writes the one line that a request leaves.
func (x *exchange) record(reason Reason, status int) {
	verdict := "deny"
	if reason == ReasonAllowed {
		verdict = "allow"
	}
	route := ""
	if x.route != nil {
		route = x.route.Host
	}
	x.proxy.config.Log.Info("request",
		"slug", x.proxy.config.Slug, "verdict", verdict, "reason", string(reason), "method", x.r.Method,
		"host", x.host, "port", x.port, "path", x.path.escaped, "route", route, "status", status,
		"sent", x.sent.Load(), "received", x.received.Load(),
		"duration_ms", float64(time.Since(x.start).Microseconds())/1000, "generation", x.generation)
}
