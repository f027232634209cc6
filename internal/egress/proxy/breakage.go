//go:build breakage

package proxy

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"strings"

	"github.com/podbottle/podbottle/internal/breakage"
	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/intercept"
)

// breakOpen breaks the proxy: open lets out whatever is asked for, past the firewall;
// wide listens on all addresses of the pod.
func breakOpen(p *Proxy) {
	if breakage.Has("wide") {
		if l, err := net.Listen("tcp", ":8889"); err == nil {
			go func() { _ = http.Serve(l, http.NotFoundHandler()) }()
		}
	}
	if !breakage.Has("open") {
		return
	}
	o := &openProxy{p}
	p.front.Handler = o
	p.tunnels = intercept.NewServer(p.config.Authority, o, httpErrors{p.config.Log})
}

// openProxy is a forward proxy as one writes it in an afternoon.
type openProxy struct{ *Proxy }

func (o *openProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	target, tunnelled := intercept.TargetOf(r.Context())
	switch {
	case r.Method == http.MethodConnect && !tunnelled:
		o.open(w, r)
		return
	case !tunnelled && (r.URL.Host == "" || r.URL.Host == egress.IntrospectionHost && r.URL.Path == "/agent-ready"):
		o.serveFront(w, r)
		return
	}
	host, scheme := cutHost(r.Host), "http"
	if intercept.Encrypted(r) {
		scheme = "https"
	}
	if _, _, err := net.SplitHostPort(host); err != nil && tunnelled {
		host = net.JoinHostPort(host, strconv.Itoa(target.Port))
	}
	proxy := httputil.ReverseProxy{
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.Out.URL.Scheme, pr.Out.URL.Host, pr.Out.Host = scheme, host, host
			name, _, _ := net.SplitHostPort(host)
			if rule := o.policy.Load().lookup(name); rule != nil && rule.route.AuthScheme != "" {
				inject(pr.Out.Header, &rule.route, o.tokens.get(rule.route.TokenEnv).value)
			}
		},
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableCompression: true},
	}
	proxy.ServeHTTP(w, r)
}

func (o *openProxy) open(w http.ResponseWriter, r *http.Request) {
	host, text, err := net.SplitHostPort(cutHost(r.RequestURI))
	port, portErr := strconv.Atoi(text)
	if err != nil || portErr != nil {
		host, port = cutHost(r.RequestURI), 443
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\n\r\n"))
	_ = o.tunnels.Serve(r.Context(), conn, buffered.Reader, intercept.Target{Host: host, Port: port})
}

// cutHost takes a name to end where another reader might.
func cutHost(host string) string {
	for _, end := range []string{"@", "#", "/", "?", "\\", "%", "\x00"} {
		host, _, _ = strings.Cut(host, end)
	}
	return host
}
