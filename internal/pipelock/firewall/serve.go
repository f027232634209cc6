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

	"github.com/podbottle/podbottle/internal/denial"
	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/footprint"
	"github.com/podbottle/podbottle/internal/intercept"
)

// allowed stands in the log for a request that was let out.
const allowed denial.Reason = "allowed"

// serveFront answers on the firewall's own port.
func (f *Firewall) serveFront(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodConnect:
		f.connect(w, r)
	case r.URL.Scheme == "http" && r.URL.Host != "":
		f.serve(w, r, "http", 80)
	default:
		f.refuse(w, r, denial.Request, "this is a proxy")
	}
}

// connect opens a tunnel to an allowed host: intercepted, or piped as it is where
// the configuration passes the host's TLS through.
func (f *Firewall) connect(w http.ResponseWriter, r *http.Request) {
	config := f.policy.Load().config
	host, port, err := egress.ParseAuthority(r.RequestURI)
	if err != nil || !config.Allows(host) {
		f.refuse(w, r, denial.Host, notListed)
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
		f.log(r, host, allowed, 0)
		pipe(conn, buffered.Reader, upstream, f.idleTimeout())
		return
	}
	if err := f.tunnels.Serve(context.WithoutCancel(r.Context()), conn, buffered.Reader, target); err != nil {
		f.log(r, host, denial.Request, 0)
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
		f.refuse(w, r, denial.Request, "the request is for another host than its CONNECT was")
		return
	}
	f.serve(w, r, scheme, target.Port)
}

// serve judges one decrypted or plain request and forwards it.
func (f *Firewall) serve(w http.ResponseWriter, r *http.Request, scheme string, defaultPort int) {
	policy := f.policy.Load()
	host, port, err := egress.ParseHostPort(r.Host, defaultPort)
	if err != nil || !policy.config.Allows(host) {
		f.refuse(w, r, denial.Host, notListed)
		return
	}
	if max := policy.config.FetchProxy.Monitoring.MaxURLLength; len(r.RequestURI) > max {
		f.refuse(w, r, denial.Request, fmt.Sprintf("blocked: the URL is longer than %d bytes", max))
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
			denial.Take(res.Header) // an upstream has none to give
			if upgraded, ok := res.Body.(io.ReadWriteCloser); ok && res.StatusCode == http.StatusSwitchingProtocols {
				res.Body = intercept.Upgraded{ReadWriteCloser: upgraded}
			}
			f.log(res.Request, res.Request.URL.Hostname(), allowed, res.StatusCode)
			return nil
		},
		ErrorHandler: f.failed,
		// For responses of known length; any other is flushed piece by piece.
		FlushInterval: flushDelay,
		ErrorLog:      log.New(errors, "", 0),
	}
}

// notListed says that a host is not in api_allowlist.
const notListed = "the host is not in the firewall's allowlist"

// failed answers for a request that was not sent, or not whole.
func (f *Firewall) failed(w http.ResponseWriter, r *http.Request, err error) {
	var found finding
	switch {
	case errors.As(err, &found):
		f.refuse(w, r, denial.Secret, found.Error())
	case errors.Is(err, errCoding):
		f.refuse(w, r, denial.Coding, errCoding.Error())
	case errors.Is(err, errAddress):
		f.refuse(w, r, denial.Address, "the host's name leads to an address that is not public")
	default:
		f.settings.Log.Warn("upstream", "host", r.Host, "error", err)
		reason, detail := denial.OfError(err)
		f.refuse(w, r, reason, detail)
	}
}

func (f *Firewall) refuse(w http.ResponseWriter, r *http.Request, reason denial.Reason, detail string) {
	f.log(r, r.Host, reason, reason.Status())
	denial.Set(w.Header(), reason, detail)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(reason.Status())
	_, _ = fmt.Fprintf(w, "blocked: %s\n", detail)
}

func (f *Firewall) log(r *http.Request, host string, reason denial.Reason, status int) {
	verdict := "deny"
	if reason == allowed {
		verdict = "allow"
	}
	f.settings.Log.Info("request", "slug", f.settings.Slug, "verdict", verdict, "reason", string(reason), "method", r.Method, "host", host, "status", status)
}
