package firewall

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"time"

	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/footprint"
	"github.com/podbottle/podbottle/internal/intercept"
)

// ReasonHeader carries the reason of a refusal on every answer that the firewall
// itself gives. An upstream cannot set it.
const ReasonHeader = "Podbottle-Reason"

// Reasons of the firewall.
const (
	reasonAllowed  = "allowed"
	reasonBad      = "firewall-bad-request"
	reasonHost     = "firewall-host"
	reasonAddress  = "firewall-address"
	reasonSecret   = "firewall-secret"
	reasonCoding   = "firewall-coding"
	reasonUpstream = "upstream-failed"
)

// serveFront answers on the firewall's own port.
func (f *Firewall) serveFront(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodConnect:
		f.connect(w, r)
	case r.URL.Scheme == "http" && r.URL.Host != "":
		f.serve(w, r, "http", 80)
	default:
		f.refuse(w, r, http.StatusBadRequest, reasonBad, "this is a proxy")
	}
}

// connect opens a tunnel to an allowed host: intercepted, or piped as it is where
// the configuration passes the host's TLS through.
func (f *Firewall) connect(w http.ResponseWriter, r *http.Request) {
	config := f.policy.Load().config
	host, port, err := egress.ParseAuthority(r.RequestURI)
	if err != nil || !config.Allows(host) {
		f.refuse(w, r, http.StatusForbidden, reasonHost, "blocked: domain not in allowlist: "+strconv.Quote(r.RequestURI))
		return
	}
	target := intercept.Target{Host: host, Port: port}
	var upstream net.Conn
	if config.PassesThrough(host) {
		if upstream, err = f.dial(r.Context(), "tcp", net.JoinHostPort(host, strconv.Itoa(port))); err != nil {
			f.failed(w, r, err)
			return
		}
		defer upstream.Close()
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() {
		if upstream != nil {
			_ = conn.Close()
		}
	}()
	if _, err := conn.Write([]byte("HTTP/1.1 200 Connection established\r\n\r\n")); err != nil {
		_ = conn.Close()
		return
	}
	if upstream != nil {
		f.log(r, host, reasonAllowed, 0)
		pipe(conn, buffered.Reader, upstream, f.idleTimeout())
		return
	}
	if err := f.tunnels.Serve(context.WithoutCancel(r.Context()), conn, buffered.Reader, target); err != nil {
		f.log(r, host, reasonBad, 0)
	}
}

// pipe copies both ways until both sides are done or nothing moves for idle.
func pipe(client net.Conn, buffered *bufio.Reader, upstream net.Conn, idle time.Duration) {
	done := make(chan struct{}, 2)
	copyOne := func(dst net.Conn, src io.Reader) {
		_, _ = intercept.Copy(dst, src)
		if half, ok := dst.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
		done <- struct{}{}
	}
	watch := &idleWatch{client: client, upstream: upstream, idle: idle}
	timer := time.AfterFunc(idle, watch.expire)
	watch.timer = timer
	defer timer.Stop()
	go copyOne(upstream, watch.reader(buffered))
	go copyOne(client, watch.reader(upstream))
	<-done
	<-done
}

func (f *Firewall) serveTunnelled(w http.ResponseWriter, r *http.Request) {
	target, ok := intercept.TargetOf(r.Context())
	if !ok {
		panic("request without a tunnel")
	}
	scheme := "http"
	if intercept.Encrypted(r) {
		scheme = "https"
	}
	host, port, err := egress.ParseHostPort(r.Host, target.Port)
	if err != nil || host != target.Host || port != target.Port {
		f.refuse(w, r, http.StatusMisdirectedRequest, reasonBad, "the request is for another host than its CONNECT was")
		return
	}
	f.serve(w, r, scheme, target.Port)
}

// serve judges one decrypted or plain request and forwards it.
func (f *Firewall) serve(w http.ResponseWriter, r *http.Request, scheme string, defaultPort int) {
	policy := f.policy.Load()
	host, port, err := egress.ParseHostPort(r.Host, defaultPort)
	if err != nil || !policy.config.Allows(host) {
		f.refuse(w, r, http.StatusForbidden, reasonHost, "blocked: domain not in allowlist: "+strconv.Quote(r.Host))
		return
	}
	if max := policy.config.FetchProxy.Monitoring.MaxURLLength; len(r.RequestURI) > max {
		f.refuse(w, r, http.StatusForbidden, reasonBad, fmt.Sprintf("blocked: the URL is longer than %d bytes", max))
		return
	}
	footprint.ReleaseLater()
	defer footprint.ReleaseLater()
	to := destination{scheme: scheme, host: net.JoinHostPort(host, strconv.Itoa(port)), request: r}
	// A copy, because the server looks at the body of its own request when the answer
	// comes before the body was asked for.
	out := r.WithContext(context.WithValue(r.Context(), destinationKey{}, to))
	if policy.scanner != nil {
		if err := policy.scanner.scan(out, host); err != nil {
			f.failed(w, r, err)
			return
		}
	}
	f.buffers.Fit(f.forward).ServeHTTP(w, out)
}

type destinationKey struct{}

// destination is where a request goes.
type destination struct {
	scheme, host string
	request      *http.Request // as the server made it: it gets the trailers, and has the version
}

func (f *Firewall) newForward(errors io.Writer) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport: f.newTransports(),
		Rewrite: func(pr *httputil.ProxyRequest) {
			to := pr.In.Context().Value(destinationKey{}).(destination)
			pr.Out.URL.Scheme, pr.Out.URL.Host = to.scheme, to.host
			pr.Out.URL.RawQuery = pr.In.URL.RawQuery
			intercept.CarryTrailers(pr.Out, to.request, nil)
		},
		ModifyResponse: func(res *http.Response) error {
			res.Header.Del(ReasonHeader)
			if upgraded, ok := res.Body.(io.ReadWriteCloser); ok && res.StatusCode == http.StatusSwitchingProtocols {
				res.Body = intercept.Upgraded{ReadWriteCloser: upgraded}
			}
			f.log(res.Request, res.Request.URL.Hostname(), reasonAllowed, res.StatusCode)
			return nil
		},
		ErrorHandler: f.failed,
		// For responses of known length; any other is flushed piece by piece.
		FlushInterval: flushDelay,
		ErrorLog:      log.New(errors, "", 0),
	}
}

// failed answers for a request that was not sent, or not whole.
func (f *Firewall) failed(w http.ResponseWriter, r *http.Request, err error) {
	var found finding
	switch {
	case errors.As(err, &found):
		f.refuse(w, r, http.StatusForbidden, reasonSecret, found.Error())
	case errors.Is(err, errCoding):
		f.refuse(w, r, http.StatusForbidden, reasonCoding, errCoding.Error())
	case errors.Is(err, errAddress):
		f.refuse(w, r, http.StatusForbidden, reasonAddress, "blocked: the host resolves to an address that is not public; the route's pipelock.ssrf_ip_allowlist can allow it")
	default:
		f.settings.Log.Warn("upstream", "host", r.Host, "error", err)
		f.refuse(w, r, http.StatusBadGateway, reasonUpstream, "the upstream host cannot be reached")
	}
}

func (f *Firewall) refuse(w http.ResponseWriter, r *http.Request, status int, reason, message string) {
	f.log(r, r.Host, reason, status)
	w.Header().Set(ReasonHeader, reason)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, message)
}

func (f *Firewall) log(r *http.Request, host, reason string, status int) {
	verdict := "deny"
	if reason == reasonAllowed {
		verdict = "allow"
	}
	f.settings.Log.Info("request", "slug", f.settings.Slug, "verdict", verdict, "reason", reason, "method", r.Method, "host", host, "status", status)
}
