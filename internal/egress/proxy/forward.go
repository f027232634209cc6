package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"time"

	"github.com/podbottle/podbottle/internal/denial"
	"github.com/podbottle/podbottle/internal/intercept"
	"github.com/podbottle/podbottle/internal/leak"
)

const (
	dialTimeout      = 5 * time.Second
	handshakeTimeout = 15 * time.Second
	continueTimeout  = 5 * time.Second // for a 100 from the firewall, which waits for the upstream's in turn
	idleConnTimeout  = 90 * time.Second
	connBuffer       = 2 << 10 // of a connection to the firewall, each way; bodies pass it by
	flushDelay       = 2 * time.Millisecond
	maxText          = 300         // bytes of what a firewall says
	textTimeout      = time.Second // for them
	manyOpen         = 64          // open requests from which HTTP/1.1 is given up
)

// firewallError is a refusal of the firewall.
type firewallError struct {
	reason Reason
	detail string
}

func (e *firewallError) Error() string { return e.detail }

// refusedConnect makes an error of the answer to CONNECT. Nobody but the firewall can
// give one. An engine that has no reasons may have a text.
func refusedConnect(_ context.Context, _ *url.URL, _ *http.Request, res *http.Response) error {
	if res.StatusCode == http.StatusOK {
		return nil
	}
	if reason, detail := denial.Take(res.Header); reason != "" {
		return &firewallError{Reason(reason), detail}
	}
	detail := fmt.Sprintf("the firewall refused the connection with status %d", res.StatusCode)
	if text := shortText(res.Body); text != "" {
		detail += ": " + text
	}
	return &firewallError{ReasonFirewall, detail}
}

// shortText reads the beginning of a text that must be there already.
func shortText(body io.Reader) string {
	read := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(io.LimitReader(body, maxText))
		read <- denial.Clean(string(text))
	}()
	select {
	case text := <-read:
		return text
	case <-time.After(textTimeout):
		return "" // the connection is closed now, which ends the read
	}
}

// errFirewallDown is a firewall that does not answer.
var errFirewallDown = errors.New("the firewall does not answer")

// transports are the upstream leg. A request goes on in the version it came in, as
// it would without a proxy: HTTP/1.1 is the faster one for large bodies and keeps
// Expect: 100-continue, which net/http's HTTP/2 server hides from its handler. When many
// are open the next ones share connections in HTTP/2, which takes less than half the
// memory: many open requests are event streams that wait.
type transports struct {
	http1, any  *http.Transport
	far         *http.Transport // any, where the peer of HTTP/2 is the upstream and not the firewall
	preferHTTP2 bool
}

// RoundTrip implements http.RoundTripper.
func (t transports) RoundTrip(r *http.Request) (*http.Response, error) {
	if x := exchangeOf(r.Context()); x.r.ProtoMajor == 1 && t.keepsHTTP1(r, x) {
		return t.http1.RoundTrip(r)
	} else if x.tunnelled() {
		return t.far.RoundTrip(r)
	}
	return t.any.RoundTrip(r)
}

// keepsHTTP1 decides about a request that came in HTTP/1.1. Only that has upgrades.
func (t transports) keepsHTTP1(r *http.Request, x *exchange) bool {
	switch {
	case r.Header.Get("Upgrade") != "":
		return true
	case t.preferHTTP2 && !x.tunnelled():
		return false
	default:
		return r.Header.Get("Expect") != "" || x.proxy.open.Load() <= manyOpen
	}
}

func newTransports(config Config) transports {
	t := transports{http1: newTransport(config), any: newTransport(config), far: newTransport(config), preferHTTP2: config.PreferHTTP2}
	t.far.HTTP2 = intercept.HTTP2(intercept.FarWindow)
	t.http1.Protocols = new(http.Protocols)
	t.http1.Protocols.SetHTTP1(true)
	return t
}

// newTransport returns a transport whose dialler ignores the address it is asked
// for: there is only the firewall.
func newTransport(config Config) *http.Transport {
	firewall := config.Firewall.String()
	dialer := &net.Dialer{Timeout: dialTimeout}
	return &http.Transport{
		Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: firewall}),
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, "tcp", firewall)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", errFirewallDown, err)
			}
			return conn, nil
		},
		OnProxyConnectResponse: refusedConnect,
		TLSClientConfig:        &tls.Config{RootCAs: config.Roots, MinVersion: tls.VersionTLS12, DynamicRecordSizingDisabled: true},
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		TLSHandshakeTimeout:    handshakeTimeout,
		ExpectContinueTimeout:  continueTimeout,
		IdleConnTimeout:        idleConnTimeout,
		ReadBufferSize:         connBuffer,
		WriteBufferSize:        connBuffer,
		MaxIdleConns:           256,
		MaxIdleConnsPerHost:    64,
		HTTP2:                  intercept.HTTP2(intercept.NearWindow),
	}
}

func newForward(config Config, errors io.Writer) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport:      newTransports(config),
		Rewrite:        rewrite,
		ModifyResponse: modifyResponse,
		ErrorHandler:   upstreamFailed,
		// For a response whose length is known, which may come slowly all the same; any other
		// is flushed piece by piece. A small one goes out whole in one write.
		FlushInterval: flushDelay,
		ErrorLog:      log.New(errors, "", 0),
	}
}

// rewrite makes the outgoing request. ReverseProxy has removed the hop-by-hop
// headers and those named in Connection before, so nothing the agent sends can
// take the injected credential away again.
func rewrite(pr *httputil.ProxyRequest) {
	x := exchangeOf(pr.In.Context())
	out := pr.Out
	out.URL.Scheme = "http"
	defaultPort := 80
	if x.encrypted {
		out.URL.Scheme, defaultPort = "https", 443
	}
	out.URL.Host = x.host
	if x.port != defaultPort {
		out.URL.Host = net.JoinHostPort(x.host, strconv.Itoa(x.port))
	}
	out.Host = out.URL.Host
	if decoded, err := url.PathUnescape(x.path.escaped); err == nil {
		out.URL.Path, out.URL.RawPath = decoded, x.path.escaped
	}
	out.URL.RawQuery = pr.In.URL.RawQuery
	if x.route.AuthScheme != "" {
		inject(out.Header, x.route, x.token)
	}
	if x.masker != nil {
		limitEncodings(out.Header)
	}
	if out.Body != nil {
		out.Body = &countedBody{ReadCloser: out.Body, x: x, count: x.sent.Add}
		intercept.CarryTrailers(out, x.r, x.authHeaders)
	}
}

// modifyResponse puts the counter and, where a token was injected, the masking
// between the upstream and the agent. A refusal of the firewall becomes one of egress;
// where the upstream could have written it, it counts as no refusal.
func modifyResponse(res *http.Response) error {
	x := exchangeOf(res.Request.Context())
	reason, detail := denial.Take(res.Header)
	if reason != "" && x.proxy.namesReasons.Load() && !x.tunnelled() {
		return &firewallError{Reason(reason), detail}
	}
	x.status = res.StatusCode
	x.answered.Store(true)
	x.touch()
	maskHeader(res.Header, x.masker)
	if upgraded, ok := res.Body.(io.ReadWriteCloser); ok && res.StatusCode == http.StatusSwitchingProtocols {
		res.Body = intercept.Upgraded{ReadWriteCloser: &countedUpgrade{maskUpgrade(upgraded, x.masker), x}}
		return nil
	}
	if x.masker != nil {
		if err := decode(res); err != nil {
			return err
		}
		if hasBody(res) {
			res.Body = &maskedTrailer{ReadCloser: leak.NewReader(res.Body, x.masker), res: res, masker: x.masker}
		}
	}
	res.Body = &countedBody{ReadCloser: res.Body, x: x, count: x.received.Add}
	return nil
}

func maskUpgrade(upgraded io.ReadWriteCloser, masker *leak.Matcher) io.ReadWriteCloser {
	if masker == nil {
		return upgraded
	}
	return maskedUpgrade{leak.NewReader(upgraded, masker), upgraded}
}

// upstreamFailed answers when there is no response to pass on.
func upstreamFailed(_ http.ResponseWriter, r *http.Request, err error) {
	x := exchangeOf(r.Context())
	x.proxy.config.Log.Debug("upstream", "host", x.host, "error", err)
	x.refuse(failure(context.Cause(r.Context()), err, x.tunnelled()))
}

// failure says what became of a request, tunnelled or not.
func failure(cause, err error, tunnelled bool) verdict {
	var refused *firewallError
	switch {
	case errors.Is(cause, errIdle):
		return verdict{reason: ReasonIdle, detail: errIdle.Error()}
	case errors.Is(cause, context.Canceled):
		return verdict{reason: ReasonGone, detail: "the client went away"}
	case errors.As(err, &refused):
		return verdict{reason: refused.reason, detail: refused.detail}
	case errors.Is(err, errFirewallDown):
		return verdict{reason: ReasonFirewallDown, detail: "the firewall of this bottle does not answer; nothing is sent without it"}
	case errors.Is(err, errEncoding):
		return verdict{reason: ReasonEncoding, detail: errEncoding.Error()}
	case tunnelled:
		reason, detail := denial.OfError(err)
		return verdict{reason: Reason(reason), detail: detail}
	default:
		return verdict{reason: ReasonUpstream, detail: "the host could not be reached through the firewall"}
	}
}

// countedBody counts what is read from a body and keeps its exchange awake.
type countedBody struct {
	io.ReadCloser
	x     *exchange
	count func(int64) int64
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.count(int64(n))
		b.x.touch()
	}
	return n, err
}

// countedUpgrade is countedBody for the connection of a switched protocol.
type countedUpgrade struct {
	io.ReadWriteCloser
	x *exchange
}

func (c *countedUpgrade) CloseWrite() error { return intercept.CloseWrite(c.ReadWriteCloser) }

func (c *countedUpgrade) Read(p []byte) (int, error) {
	n, err := c.ReadWriteCloser.Read(p)
	c.x.received.Add(int64(n))
	c.x.touch()
	return n, err
}

func (c *countedUpgrade) Write(p []byte) (int, error) {
	n, err := c.ReadWriteCloser.Write(p)
	c.x.sent.Add(int64(n))
	c.x.touch()
	return n, err
}
