// Package conformance is the table of docs/egress.md as requests that can be made:
// what the way out of a bottle lets through, and what it refuses with which reason.
// The proxy's own tests make them in one process, the end-to-end tests from inside a
// real bottle. No program of podbottle links it.
package conformance

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// reasonHeader is what egress sets on its own answers.
const reasonHeader = "Podbottle-Reason"

// timeout bounds one request.
const timeout = 2 * time.Minute

// Agent makes requests as a program in the bottle does: through the proxy, and to
// upstreams whose names all lie below one domain.
type Agent struct {
	Proxy     string         // HOST:PORT of egress
	Trust     *x509.CertPool // the bottle's authority; nil for the system's store
	Domain    string         // such as example.org
	Port      int            // of the upstream with TLS
	PlainPort int            // of the upstream without
}

// authority is NAME below the domain, with the port of the upstream with TLS.
func (a *Agent) authority(name string) string {
	return fmt.Sprintf("%s.%s:%d", name, a.Domain, a.Port)
}

// plainAuthority is the same for the upstream without TLS.
func (a *Agent) plainAuthority(name string) string {
	return fmt.Sprintf("%s.%s:%d", name, a.Domain, a.PlainPort)
}

// Client returns a client that follows no redirects; without h2 it speaks HTTP/1.1 only.
func (a *Agent) Client(h2 bool) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(h2)
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                 http.ProxyURL(&url.URL{Scheme: "http", Host: a.Proxy}),
			TLSClientConfig:       &tls.Config{RootCAs: a.Trust},
			Protocols:             protocols,
			DisableCompression:    true,
			ExpectContinueTimeout: timeout,
		},
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// fetch makes one request on a connection of its own. A host in header replaces the
// one of the URL in what is sent.
func (a *Agent) fetch(h2 bool, method, url string, header http.Header) (Outcome, error) {
	return a.send(h2, method, url, header, "")
}

// send is fetch with a body.
func (a *Agent) send(h2 bool, method, url string, header http.Header, body string) (Outcome, error) {
	client := a.Client(h2)
	defer client.CloseIdleConnections()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return Outcome{}, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if host := header.Get("Host"); host != "" {
		req.Host = host
	}
	res, err := client.Do(req)
	if err != nil {
		return Outcome{}, err
	}
	return outcomeOf(res)
}

// dial connects to the proxy.
func (a *Agent) dial() (net.Conn, error) {
	conn, err := net.DialTimeout("tcp", a.Proxy, timeout)
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Now().Add(timeout))
}

// connect asks for a tunnel; authority goes out as it is. The connection is to be
// closed, and useful if the answer is 200.
func (a *Agent) connect(authority string) (net.Conn, *http.Response, error) {
	conn, err := a.dial()
	if err != nil {
		return nil, nil, err
	}
	if _, err := fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: api.%s\r\n\r\n", authority, a.Domain); err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect})
	if err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	return conn, res, nil
}

// open is connect for a tunnel that must open.
func (a *Agent) open(authority string) (net.Conn, error) {
	conn, res, err := a.connect(authority)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		_ = conn.Close()
		return nil, fmt.Errorf("CONNECT %s: %s", authority, res.Status)
	}
	return conn, nil
}

// tunnel opens a tunnel and a TLS session in it. An error of the handshake is an
// errEnded.
func (a *Agent) tunnel(authority string, config *tls.Config) (*tls.Conn, error) {
	conn, err := a.open(authority)
	if err != nil {
		return nil, err
	}
	config.RootCAs = a.Trust
	session := tls.Client(conn, config)
	if err := session.Handshake(); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("%w: %w", errEnded, err)
	}
	return session, nil
}

// send writes text as it is, with CRLF for its line ends, and reads the answer.
func send(conn net.Conn, text string) (Outcome, error) {
	if _, err := io.WriteString(conn, strings.ReplaceAll(text, "\n", "\r\n")); err != nil {
		return Outcome{}, err
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return Outcome{}, err
	}
	return outcomeOf(res)
}

// errEnded is a tunnel that the proxy ended without an answer.
var errEnded = errors.New("the tunnel was ended")

// outcomeOf reads a response to its end.
func outcomeOf(res *http.Response) (Outcome, error) {
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return Outcome{}, err
	}
	return Outcome{Status: res.StatusCode, Reason: res.Header.Get(reasonHeader), Upstream: res.Header.Get(upstreamHeader) != ""}, nil
}
