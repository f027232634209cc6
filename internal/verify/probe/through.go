package probe

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/podbottle/podbottle/internal/egress"
)

// reasonHeader is on every answer that egress itself gives (docs/egress.md).
const reasonHeader = "Podbottle-Reason"

// request is one request through egress, each part of which can lie.
type request struct {
	// connect is the target of CONNECT; empty sends the raw text to egress itself.
	connect string
	sni     string // server name; empty for the host of connect, "-" for none
	plain   bool   // no TLS in the tunnel
	host    string // Host header; empty for connect
	method  string
	path    string
	header  string // further header lines, each ending in CRLF
	body    string
	raw     string // the whole request, instead of all the parts above
	linger  bool   // keep the connection after the answer, for what may follow it
}

// absoluteForm is a request to egress without a tunnel (RFC 9112, section 3.2.2).
func absoluteForm(authority, path, host string) request {
	return request{raw: "GET http://" + authority + path + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n"}
}

// answer is what came back.
type answer struct {
	where  string // connect | tls | request: how far it got
	status int
	reason string // of egress; empty when the answer is another's
	header http.Header
	body   string
	err    error
}

// text says what was seen, in one line.
func (a answer) text() string {
	switch {
	case a.err != nil:
		return fmt.Sprintf("%s: %v", a.where, a.err)
	case a.reason != "":
		return fmt.Sprintf("%d %s", a.status, a.reason)
	default:
		return fmt.Sprintf("%d", a.status)
	}
}

// through is false when egress or the firewall refused, or the connection ended.
func (a answer) through() bool { return a.err == nil && a.reason == "" && a.status < 400 }

// letOut is true when egress and the firewall did not refuse, and what lies beyond failed.
func (a answer) letOut() bool {
	return a.reason == "upstream-failed" || a.status == http.StatusBadGateway || a.status == http.StatusGatewayTimeout
}

// exchangeTime bounds one exchange.
const exchangeTime = 20 * time.Second

// lingerTime is how long a second answer may take, to a request that was hidden in the first.
const lingerTime = time.Second

// do makes one exchange with egress.
func (b *bottle) do(ctx context.Context, r request) answer {
	dialer := net.Dialer{Timeout: exchangeTime}
	conn, err := dialer.DialContext(ctx, "tcp", b.task.Egress.String())
	if err != nil {
		return answer{where: "egress", err: err}
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(exchangeTime))
	if r.connect == "" {
		return exchange(conn, r)
	}
	a := tunnel(conn, r.connect)
	if a.err != nil || a.status != http.StatusOK {
		return a
	}
	if r.plain {
		return exchange(conn, r)
	}
	secure, err := b.secure(ctx, conn, r)
	if err != nil {
		return answer{where: "tls", err: err}
	}
	defer secure.Close()
	return exchange(secure, r)
}

// tunnel sends CONNECT and reads no byte more than the answer's header.
func tunnel(conn net.Conn, target string) answer {
	if _, err := fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", target, target); err != nil {
		return answer{where: "connect", err: err}
	}
	var head []byte
	one := make([]byte, 1)
	for !strings.HasSuffix(string(head), "\r\n\r\n") {
		if _, err := conn.Read(one); err != nil {
			return answer{where: "connect", err: err}
		}
		if head = append(head, one[0]); len(head) > 64<<10 {
			return answer{where: "connect", err: errors.New("endless header")}
		}
	}
	response, err := http.ReadResponse(bufio.NewReader(strings.NewReader(string(head))), &http.Request{Method: http.MethodConnect})
	if err != nil {
		return answer{where: "connect", err: err}
	}
	_ = response.Body.Close()
	return answer{where: "connect", status: response.StatusCode, reason: response.Header.Get(reasonHeader), header: response.Header}
}

func (b *bottle) secure(ctx context.Context, conn net.Conn, r request) (*tls.Conn, error) {
	host, _, err := net.SplitHostPort(r.connect)
	if err != nil {
		host = r.connect
	}
	config, err := b.tlsConfig(host)
	if err != nil {
		return nil, err
	}
	switch r.sni {
	case "":
	case "-":
		config.ServerName = "" // no extension is sent
		config.InsecureSkipVerify = true
	default:
		config.ServerName = r.sni
		config.InsecureSkipVerify = true
	}
	secure := tls.Client(conn, config)
	return secure, secure.HandshakeContext(ctx)
}

// tlsConfig trusts what the agent trusts.
func (b *bottle) tlsConfig(host string) (*tls.Config, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b.task.Roots) {
		return nil, errors.New("the task holds no CA certificate")
	}
	return &tls.Config{RootCAs: pool, ServerName: host, MinVersion: tls.VersionTLS12}, nil
}

func exchange(conn net.Conn, r request) answer {
	text := r.raw
	if text == "" {
		host := cmp.Or(r.host, r.connect)
		text = cmp.Or(r.method, http.MethodGet) + " " + r.path + " HTTP/1.1\r\nHost: " + host + "\r\n" + r.header
		if r.body != "" && !strings.Contains(strings.ToLower(r.header), "content-length") && !strings.Contains(strings.ToLower(r.header), "transfer-encoding") {
			text += fmt.Sprintf("Content-Length: %d\r\n", len(r.body))
		}
		text += "Connection: close\r\n\r\n" + r.body
	}
	if _, err := io.WriteString(conn, text); err != nil {
		return answer{where: "request", err: err}
	}
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		return answer{where: "request", err: err}
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if r.linger {
		_ = conn.SetReadDeadline(time.Now().Add(lingerTime))
		_, _ = io.Copy(io.Discard, reader)
	}
	return answer{where: "request", status: response.StatusCode, reason: response.Header.Get(reasonHeader), header: response.Header, body: string(body)}
}

// allowed makes the request that the bottle's route lets out: the control of every
// refusal. The mark of it must arrive.
func (b *bottle) allowed(ctx context.Context) (seen, mark string, err error) {
	if b.task.Server == nil {
		return b.listed(ctx)
	}
	mark = b.mark()
	a := b.do(ctx, request{connect: b.target(), path: "/open/" + mark})
	if !a.through() || !strings.Contains(a.body, mark) {
		return "", "", fmt.Errorf("GET https://%s/open/: %s", b.target(), a.text())
	}
	return "the allowed request was answered with " + a.text(), mark, nil
}

// listed is the control where the bottle has no route to verify's servers: egress
// itself answers a request through it.
func (b *bottle) listed(ctx context.Context) (seen, mark string, err error) {
	a := b.do(ctx, absoluteForm(egress.IntrospectionHost, "/allowlist", egress.IntrospectionHost))
	if a.err != nil || a.status != http.StatusOK {
		return "", "", fmt.Errorf("GET http://_egress.local/allowlist: %s", a.text())
	}
	return "egress answered GET /allowlist with " + a.text(), "", nil
}

// target is the authority of the allowed host.
func (b *bottle) target() string {
	return net.JoinHostPort(b.task.Server.Allowed, fmt.Sprint(b.task.Server.Port))
}

// refused makes requests that egress has to refuse, after one that it has to let
// out. The marks in the requests must reach no server.
func (b *bottle) refused(ctx context.Context, requests ...request) Result {
	control, present, err := b.allowed(ctx)
	if err != nil {
		return incomplete("the control failed: %v", err)
	}
	seen := map[string]int{}
	var marks []string
	answers := b.all(ctx, requests)
	for i, r := range requests {
		marks = append(marks, b.marksIn(r)...)
		a := answers[i]
		if a.through() {
			return breach("%s was answered with %s", describe(r), a.text())
		}
		if a.letOut() {
			return breach("%s was let out, and failed only there: %s", describe(r), a.text())
		}
		seen[a.kind()]++
	}
	result := held("%s", tally(seen)).with("%s", control)
	result.Absent = marks
	if present != "" {
		result.Present = []string{present}
	}
	return result
}

// all makes the exchanges, a few at a time.
func (b *bottle) all(ctx context.Context, requests []request) []answer {
	const together = 6
	answers := make([]answer, len(requests))
	slots := make(chan struct{}, together)
	var group sync.WaitGroup
	for i, r := range requests {
		slots <- struct{}{}
		group.Add(1)
		go func() {
			defer group.Done()
			answers[i] = b.do(ctx, r)
			<-slots
		}()
	}
	group.Wait()
	return answers
}

// kind is the answer without what differs from one connection to the next.
func (a answer) kind() string {
	if a.err != nil {
		return a.where + " ended"
	}
	return a.text()
}

// tally lists what was seen how often.
func tally(seen map[string]int) string {
	parts := make([]string, 0, len(seen))
	for what, n := range seen {
		parts = append(parts, fmt.Sprintf("%d × %s", n, what))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// marksIn finds this run's marks in a request.
func (b *bottle) marksIn(r request) []string {
	var marks []string
	for _, field := range strings.FieldsFunc(r.path+" "+r.raw+" "+r.body+" "+r.header+" "+r.host, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-')
	}) {
		if i := strings.Index(field, b.task.Mark); i >= 0 {
			marks = append(marks, field[i:])
		}
	}
	return marks
}

// describe names a request for the report, on one line.
func describe(r request) string {
	if r.raw != "" {
		line, _, _ := strings.Cut(r.raw, "\n")
		return fmt.Sprintf("%q", url.PathEscape(line))
	}
	return fmt.Sprintf("CONNECT %q, server name %q, Host %q, path %q", r.connect, r.sni, r.host, r.path)
}
