package proxy

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/podbottle/podbottle/internal/egress"
)

var update = flag.Bool("update", false, "write the conformance table into docs/egress.md")

// row is one line of the conformance table in docs/egress.md.
type row struct {
	what string
	want string // "let through", or the reason and status of the refusal
	try  func(b *bottle) (*http.Response, error)
}

// letThrough is what a row wants when the upstream must answer.
const letThrough = "let through"

// upstreamHeader is set by the upstream, so that its answers cannot be mistaken for the proxy's.
const upstreamHeader = "X-Upstream"

// conformanceBottle has one route of every kind.
func conformanceBottle(t *testing.T) *bottle {
	plain := httptest.NewServer(http.HandlerFunc(answer))
	t.Cleanup(plain.Close)
	b := newBottle(t, http.HandlerFunc(answer), func(main *egress.Route) []egress.Route {
		return []egress.Route{
			{Host: "plain.example.org", Port: portOf(plain)},
			{Host: "*.wild.example.org", Port: main.Port},
			{Host: "xn--bcher-kva.example.org", Port: main.Port},
			{Host: "paths.example.org", Port: main.Port, PathAllowlist: []string{"/v1/"}},
			{Host: "rules.example.org", Port: main.Port, Matches: []egress.Match{
				{Paths: []egress.PathMatch{{Type: "prefix", Value: "/api"}}, Methods: []string{"GET"}},
				{Paths: []egress.PathMatch{{Type: "exact", Value: "/once"}}, ExpiresAt: time.Now().Add(-time.Second)},
			}},
			{Host: "git.example.org", Port: main.Port, GitFetch: true},
			{Host: "key.example.org", Port: main.Port, AuthScheme: egress.SchemeHeader, AuthHeader: "X-Api-Key", TokenEnv: "EGRESS_TOKEN_0"},
			{Host: "empty.example.org", Port: main.Port, AuthScheme: egress.SchemeBearer, TokenEnv: "EGRESS_TOKEN_9"},
			{Host: "secret.plain.example.org", Port: portOf(plain), AuthScheme: egress.SchemeBearer, TokenEnv: "EGRESS_TOKEN_0"},
			{Host: "private.example.org", Port: main.Port},
		}
	})
	b.plainPort = portOf(plain)
	return b
}

func answer(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(upstreamHeader, "yes")
	_, _ = io.Copy(io.Discard, r.Body)
	if r.URL.Path == "/zip" {
		w.Header().Set("Content-Encoding", "deflate")
	}
	fmt.Fprintln(w, r.Method, r.Host, r.RequestURI)
}

// rows are the table. Each is tried against one bottle, in this order.
func rows() []row {
	at := func(host string) func(*bottle) string {
		return func(b *bottle) string { return fmt.Sprintf("https://%s:%d", host, b.port) }
	}
	api := at("api.example.org")
	fetch := func(h2 bool, method string, base func(*bottle) string, path string, header http.Header) func(*bottle) (*http.Response, error) {
		return func(b *bottle) (*http.Response, error) { return do(b.client(h2), method, base(b)+path, header) }
	}
	connect := func(authority string) func(*bottle) (*http.Response, error) {
		return func(b *bottle) (*http.Response, error) { res, _ := b.connect(authority); return res, nil }
	}
	inTunnel := func(request string) func(*bottle) (*http.Response, error) {
		return func(b *bottle) (*http.Response, error) {
			session, err := b.tunnel(b.authority(), &tls.Config{ServerName: b.host})
			if err != nil {
				return nil, err
			}
			request := strings.ReplaceAll(request, "PORT", fmt.Sprint(b.port))
			return b.send(session, strings.ReplaceAll(request, "\n", "\r\n")), nil
		}
	}
	hello := func(config func() *tls.Config) func(*bottle) (*http.Response, error) {
		return func(b *bottle) (*http.Response, error) {
			_, err := b.tunnel(b.authority(), config())
			return nil, err
		}
	}
	direct := func(request string) func(*bottle) (*http.Response, error) {
		return func(b *bottle) (*http.Response, error) {
			conn, err := net.Dial("tcp", b.proxyURL.Host)
			if err != nil {
				return nil, err
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
			return b.send(conn, strings.ReplaceAll(request, "\n", "\r\n")), nil
		}
	}
	return []row{
		{"HTTPS to a listed host, HTTP/1.1", letThrough, fetch(false, "GET", api, "/", nil)},
		{"HTTPS to a listed host, HTTP/2", letThrough, fetch(true, "GET", api, "/", nil)},
		{"the agent's own `Authorization` on a listed host (replaced by the route's, or dropped)", letThrough, fetch(true, "GET", api, "/", http.Header{"Authorization": {"Bearer mine"}})},
		{"plain HTTP, absolute form", letThrough, func(b *bottle) (*http.Response, error) {
			return do(b.client(false), "GET", fmt.Sprintf("http://plain.example.org:%d/", b.plainPort), nil)
		}},
		{"plain HTTP inside CONNECT to a port that is not 443", letThrough, func(b *bottle) (*http.Response, error) {
			authority := fmt.Sprintf("plain.example.org:%d", b.plainPort)
			_, conn := b.connect(authority)
			return b.send(conn, "GET / HTTP/1.1\r\nHost: "+authority+"\r\n\r\n"), nil
		}},
		{"a name below a wildcard route", letThrough, fetch(true, "GET", at("a.b.wild.example.org"), "/", nil)},
		{"CONNECT in capitals with a trailing dot (normalised)", letThrough, func(b *bottle) (*http.Response, error) {
			session, err := b.tunnel(fmt.Sprintf("API.Example.ORG.:%d", b.port), &tls.Config{ServerName: "API.example.org"})
			if err != nil {
				return nil, err
			}
			return b.send(session, "GET / HTTP/1.1\r\nHost: "+b.authority()+"\r\n\r\n"), nil
		}},
		{"an internationalised name (as A-labels)", letThrough, fetch(true, "GET", at("xn--bcher-kva.example.org"), "/", nil)},
		{"a path in `path_allowlist`", letThrough, fetch(true, "GET", at("paths.example.org"), "/v1/x", nil)},
		{"dot segments that lead into `path_allowlist` (removed, also from what is sent)", letThrough, inTunnelTo("paths.example.org", "GET /v2/../v1/x HTTP/1.1\nHost: %s\n\n")},
		{"a method and path in `matches`", letThrough, fetch(true, "GET", at("rules.example.org"), "/api/x", nil)},
		{"an encoded slash on a route without path conditions (npm's scoped packages)", letThrough, fetch(true, "GET", api, "/@scope%2fname", nil)},
		{"git clone over HTTPS on a route with `git: {fetch: true}`", letThrough, fetch(true, "GET", at("git.example.org"), "/r.git/info/refs?service=git-upload-pack", nil)},
		{"both `Transfer-Encoding` and `Content-Length` (the body is framed anew: upstream sees one)", letThrough, inTunnel("POST / HTTP/1.1\nHost: api.example.org:PORT\nContent-Length: 4\nTransfer-Encoding: chunked\n\n0\n\n")},
		{"`GET http://_egress.local/allowlist` (answered by egress)", "200", fetch(false, "GET", func(*bottle) string { return "http://_egress.local" }, "/allowlist", nil)},

		{"a host without a route", "host-not-allowed 403", fetch(true, "GET", at443("other.example.org"), "/", nil)},
		{"a subdomain of an exact route", "host-not-allowed 403", fetch(true, "GET", at443("x.api.example.org"), "/", nil)},
		{"the domain of a wildcard itself", "host-not-allowed 403", fetch(true, "GET", at443("wild.example.org"), "/", nil)},
		{"plain HTTP to a host without a route", "host-not-allowed 403", fetch(false, "GET", func(*bottle) string { return "http://other.example.org" }, "/", nil)},
		{"a host without a route on another port than 443 and 80 (CONNECT itself)", "host-not-allowed 403", connect("other.example.org:8443")},
		{"a port that the route does not have (CONNECT itself)", "port-not-allowed 403", connect("api.example.org:22")},
		{"an IPv4 address", "ip-literal 403", connect("93.184.216.34:443")},
		{"an IPv4 address with leading zeros", "ip-literal 403", connect("0177.0.0.1:443")},
		{"an IPv4 address as one number", "ip-literal 403", connect("2130706433:443")},
		{"an IPv4 address in hexadecimal", "ip-literal 403", connect("0x7f.1:443")},
		{"an IPv6 address", "ip-literal 403", connect("[::1]:443")},
		{"an IPv4-mapped IPv6 address", "ip-literal 403", connect("[::ffff:169.254.169.254]:443")},
		{"an address with plain HTTP", "ip-literal 403", fetch(false, "GET", func(*bottle) string { return "http://169.254.169.254" }, "/latest/meta-data", nil)},
		{"an address as `Host` inside an allowed tunnel", "ip-literal 403", inTunnel("GET / HTTP/1.1\nHost: 169.254.169.254\n\n")},
		{"CONNECT without a port", "bad-host 400", connect("api.example.org")},
		{"CONNECT with port 0", "bad-host 400", connect("api.example.org:0")},
		{"a NUL in the host", "bad-request 400", connect("api.example.org\x00.evil.example:443")},
		{"a space or line end in the host", "bad-request 400", connect("api.example.org\r\n.evil.example:443")},
		{"an empty label", "bad-host 400", connect("api..example.org:443")},
		{"a label of 64 characters", "bad-host 400", connect(strings.Repeat("a", 64) + ".example.org:443")},
		{"a name of more than 253 characters", "bad-host 400", connect(strings.Repeat("a.", 130) + "org:443")},
		{"userinfo in CONNECT", "bad-host 400", connect("api.example.org:443@evil.example:443")},
		{"no SNI", "no-server-name", hello(func() *tls.Config { return &tls.Config{InsecureSkipVerify: true} })},
		{"another SNI than CONNECT", "server-name-mismatch", hello(func() *tls.Config { return &tls.Config{ServerName: "evil.example.org"} })},
		{"an address as server name (clients send no SNI then)", "no-server-name", hello(func() *tls.Config { return &tls.Config{ServerName: "127.0.0.1"} })},
		{"encrypted client hello (ECH), also as GREASE", "encrypted-server-name", hello(func() *tls.Config {
			return &tls.Config{ServerName: "hidden.example.org", MinVersion: tls.VersionTLS13, EncryptedClientHelloConfigList: echConfig("api.example.org")}
		})},
		{"TLS 1.1", "tls-failed", hello(func() *tls.Config {
			return &tls.Config{ServerName: "api.example.org", MinVersion: tls.VersionTLS11, MaxVersion: tls.VersionTLS11}
		})},
		{"SSH or another protocol in the tunnel", "tls-failed", func(b *bottle) (*http.Response, error) {
			_, conn := b.connect(b.authority())
			if _, err := io.WriteString(conn, "\x00\x00\x00\x0cssh-connection"); err != nil {
				return nil, err
			}
			_, err := conn.Read(make([]byte, 1))
			return nil, err
		}},
		{"plain HTTP in a tunnel to 443", "tls-failed", func(b *bottle) (*http.Response, error) {
			_, conn := b.connect("api.example.org:443")
			if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: api.example.org\r\n\r\n"); err != nil {
				return nil, err
			}
			_, err := conn.Read(make([]byte, 1))
			return nil, err
		}},
		{"another `Host` than the tunnel, HTTP/1.1", "host-mismatch 421", inTunnel("GET / HTTP/1.1\nHost: paths.example.org\n\n")},
		{"the same host with another port", "host-mismatch 421", inTunnel("GET / HTTP/1.1\nHost: api.example.org:444\n\n")},
		{"another host in absolute form inside the tunnel", "host-mismatch 421", inTunnel("GET https://paths.example.org/ HTTP/1.1\nHost: api.example.org:PORT\n\n")},
		{"another `:authority` than the tunnel, HTTP/2", "host-mismatch 421", func(b *bottle) (*http.Response, error) {
			req, err := http.NewRequest("GET", api(b)+"/", nil)
			if err != nil {
				return nil, err
			}
			req.Host = "paths.example.org"
			return b.client(true).Do(req)
		}},
		{"no `Host`", "bad-request 400", inTunnel("GET / HTTP/1.1\n\n")},
		{"two `Host` headers", "bad-request 400", inTunnel("GET / HTTP/1.1\nHost: api.example.org:PORT\nHost: paths.example.org\n\n")},
		{"two different `Content-Length`", "bad-request 400", inTunnel("POST / HTTP/1.1\nHost: api.example.org:PORT\nContent-Length: 4\nContent-Length: 5\n\nabcd")},
		{"`Transfer-Encoding` other than chunked", "bad-request 501", inTunnel("POST / HTTP/1.1\nHost: api.example.org:PORT\nTransfer-Encoding: xchunked\n\n")},
		{"`Transfer-Encoding` twice", "bad-request 501", inTunnel("POST / HTTP/1.1\nHost: api.example.org:PORT\nTransfer-Encoding: chunked\nTransfer-Encoding: identity\n\n")},
		{"a header name with a space before the colon", "bad-request 400", inTunnel("GET / HTTP/1.1\nHost: api.example.org:PORT\nX-A : b\n\n")},
		{"a folded header line", "bad-request 400", inTunnel("GET / HTTP/1.1\nHost: api.example.org:PORT\n X-A: b\n\n")},
		{"TRACE", "method-refused 405", inTunnel("TRACE / HTTP/1.1\nHost: api.example.org:PORT\n\n")},
		{"CONNECT inside a tunnel", "host-mismatch 421", inTunnel("CONNECT evil.example.org:443 HTTP/1.1\nHost: api.example.org:PORT\n\n")},
		{"CONNECT inside a tunnel, to the tunnel's host", "method-refused 405", inTunnel("CONNECT api.example.org:PORT HTTP/1.1\nHost: api.example.org:PORT\n\n")},
		{"a request to the proxy that is no proxy request", "bad-request 400", direct("GET / HTTP/1.1\nHost: egress:9099\n\n")},
		{"`https://` in absolute form without CONNECT", "bad-request 400", direct("GET https://api.example.org/ HTTP/1.1\nHost: api.example.org\n\n")},
		{"`ftp://` in absolute form", "bad-request 400", direct("GET ftp://api.example.org/ HTTP/1.1\nHost: api.example.org\n\n")},
		{"a path outside `path_allowlist`", "path-not-allowed 403", fetch(true, "GET", at("paths.example.org"), "/v2/x", nil)},
		{"dot segments that lead out of `path_allowlist`", "path-not-allowed 403", inTunnelTo("paths.example.org", "GET /v1/../v2 HTTP/1.1\nHost: %s\n\n")},
		{"encoded dot segments", "path-not-allowed 403", inTunnelTo("paths.example.org", "GET /v1/%%2e%%2E/v2 HTTP/1.1\nHost: %s\n\n")},
		{"an encoded slash on a route with path conditions", "ambiguous-path 403", fetch(true, "GET", at("paths.example.org"), "/v1/..%2fv2", nil)},
		{"a path that is encoded twice", "ambiguous-path 403", fetch(true, "GET", at("paths.example.org"), "/v1/%252e%252e/v2", nil)},
		{"a backslash", "ambiguous-path 403", fetch(true, "GET", at("paths.example.org"), "/v1/..%5cv2", nil)},
		{"an empty segment", "ambiguous-path 403", fetch(true, "GET", at("paths.example.org"), "/v1//v2", nil)},
		{"a dot segment with parameters (`/..;/`)", "ambiguous-path 403", fetch(true, "GET", at("paths.example.org"), "/v1/..;/v2", nil)},
		{"a NUL in the path", "bad-request 400", fetch(true, "GET", api, "/a%00", nil)},
		{"a line end in the path", "bad-request 400", fetch(true, "GET", api, "/a%0d%0aX-Injected:%20b", nil)},
		{"a method that no entry of `matches` has for the path", "no-match 403", fetch(true, "DELETE", at("rules.example.org"), "/api/x", nil)},
		{"a path that no entry of `matches` has", "path-not-allowed 403", fetch(true, "GET", at("rules.example.org"), "/apix", nil)},
		{"an entry of `matches` after its `expires_at`", "expired 403", fetch(true, "GET", at("rules.example.org"), "/once", nil)},
		{"git push over HTTPS: `info/refs?service=git-receive-pack`", "git-push 403", fetch(true, "GET", at("git.example.org"), "/r.git/info/refs?service=git-receive-pack", nil)},
		{"git push over HTTPS: `POST …/git-receive-pack`", "git-push 403", fetch(true, "POST", at("git.example.org"), "/r.git/git-receive-pack", nil)},
		{"git push in another spelling", "git-push 403", fetch(true, "POST", at("git.example.org"), "/r.git%2fgit%2dreceive-pack", nil)},
		{"git LFS", "git-push 403", fetch(true, "POST", at("git.example.org"), "/r.git/info/lfs/objects/batch", nil)},
		{"git clone over HTTPS without `git: {fetch: true}`", "git-fetch 403", fetch(true, "GET", api, "/r.git/info/refs?service=git-upload-pack", nil)},
		{"a route whose token slot has no value", "no-token 403", fetch(true, "GET", at("empty.example.org"), "/", nil)},
		{"a route with a token over plain HTTP", "plaintext 403", func(b *bottle) (*http.Response, error) {
			return do(b.client(false), "GET", fmt.Sprintf("http://secret.plain.example.org:%d/", b.plainPort), nil)
		}},
		{"a response to an injected token in a coding that cannot be searched", "unreadable-encoding 502", fetch(true, "GET", api, "/zip", nil)},
	}
}

func at443(host string) func(*bottle) string {
	return func(*bottle) string { return "https://" + host }
}

// inTunnelTo sends a raw request, with the authority in it, through a tunnel to host.
func inTunnelTo(host, request string) func(*bottle) (*http.Response, error) {
	return func(b *bottle) (*http.Response, error) {
		authority := fmt.Sprintf("%s:%d", host, b.port)
		session, err := b.tunnel(authority, &tls.Config{ServerName: host})
		if err != nil {
			return nil, err
		}
		return b.send(session, strings.ReplaceAll(fmt.Sprintf(request, authority), "\n", "\r\n")), nil
	}
}

func do(client *http.Client, method, url string, header http.Header) (*http.Response, error) {
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	return client.Do(req)
}

// TestConformance tries every row: what comes back, that the upstream was reached
// or not, and what stands in the audit file.
func TestConformance(t *testing.T) {
	b := conformanceBottle(t)
	for _, row := range rows() {
		t.Run(row.what, func(t *testing.T) {
			before := len(b.records())
			res, err := row.try(b)
			if res != nil {
				defer res.Body.Close()
				_, _ = io.Copy(io.Discard, res.Body)
			}
			switch {
			case row.want == letThrough:
				if err != nil || res.StatusCode != http.StatusOK || res.Header.Get(upstreamHeader) == "" {
					t.Fatalf("got %v, %v", statusOf(res), err)
				}
			case row.want == "200":
				if err != nil || res.StatusCode != http.StatusOK || res.Header.Get(upstreamHeader) != "" {
					t.Fatalf("got %v, %v", statusOf(res), err)
				}
			case strings.Contains(row.want, " "):
				checkRefusal(t, row.want, res, err)
			case err == nil:
				t.Fatalf("the tunnel works: %v", statusOf(res))
			}
			checkRecord(t, b, row.want, before)
		})
	}
}

func statusOf(res *http.Response) string {
	if res == nil {
		return "no answer"
	}
	return res.Status + " " + res.Header.Get(ReasonHeader)
}

// checkRefusal compares with "reason status". What net/http refuses by itself, before
// there is a request to judge, has no reason header.
func checkRefusal(t *testing.T, want string, res *http.Response, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	reason, status, _ := strings.Cut(want, " ")
	if fmt.Sprint(res.StatusCode) != status || res.Header.Get(upstreamHeader) != "" {
		t.Fatalf("got %s, want %s", statusOf(res), want)
	}
	if got := res.Header.Get(ReasonHeader); got != reason && (got != "" || reason != string(ReasonBadRequest)) {
		t.Errorf("reason %q, want %q", got, reason)
	}
}

// checkRecord wants a last record with the reason. Requests that net/http could
// not read leave none.
func checkRecord(t *testing.T, b *bottle, want string, before int) {
	t.Helper()
	reason, _, _ := strings.Cut(want, " ")
	if want == letThrough || want == "200" {
		reason = string(ReasonAllowed)
	}
	deadline := time.Now().Add(10 * time.Second)
	records := b.records()
	for len(records) == before && reason != string(ReasonBadRequest) && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond) // the record of a tunnel follows the client's error
		records = b.records()
	}
	if len(records) == before {
		if reason != string(ReasonBadRequest) {
			t.Errorf("no record")
		}
		return
	}
	if got := records[len(records)-1]; got.Reason != reason || (got.Verdict == egress.VerdictAllow) != (reason == string(ReasonAllowed)) {
		t.Errorf("recorded %+v, want reason %s", got, reason)
	}
}

// TestConformanceTableInDocs keeps docs/egress.md and the rows the same; run it with
// -update to write the table.
func TestConformanceTableInDocs(t *testing.T) {
	const file, begin, end = "../../../docs/egress.md", "<!-- conformance: begin -->\n", "<!-- conformance: end -->"
	var table strings.Builder
	table.WriteString("| request | outcome |\n|---|---|\n")
	for _, row := range rows() {
		outcome := row.want
		if outcome != letThrough {
			reason, status, _ := strings.Cut(outcome, " ")
			outcome = strings.TrimSpace(fmt.Sprintf("`%s` %s", reason, status))
		}
		fmt.Fprintf(&table, "| %s | %s |\n", row.what, strings.ReplaceAll(outcome, "`200`", "200"))
	}
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := bytes.Cut(doc, []byte(begin))
	_, tail, ok2 := bytes.Cut(rest, []byte(end))
	if !ok || !ok2 {
		t.Fatalf("%s has no conformance table", file)
	}
	want := bytes.Join([][]byte{head, []byte(begin + table.String() + end), tail}, nil)
	if bytes.Equal(doc, want) {
		return
	}
	if !*update {
		t.Fatalf("the table in %s is not that of the test; run: go test ./internal/egress/proxy -run %s -update", file, t.Name())
	}
	if err := os.WriteFile(file, want, 0o644); err != nil {
		t.Fatal(err)
	}
}

// echConfig is a list with one configuration for encrypted client hellos (RFC 9849,
// section 4) under a public name.
func echConfig(publicName string) []byte {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	var b cryptobyte.Builder
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddUint16(0xfe0d)
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			b.AddUint8(1)       // config_id
			b.AddUint16(0x0020) // DHKEM(X25519, HKDF-SHA256)
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(key.PublicKey().Bytes()) })
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddUint16(1); b.AddUint16(1) }) // HKDF-SHA256, AES-128-GCM
			b.AddUint8(32)                                                                            // maximum_name_length
			b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(publicName)) })
			b.AddUint16(0) // extensions
		})
	})
	return b.BytesOrPanic()
}
