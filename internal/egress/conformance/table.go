package conformance

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/crypto/cryptobyte"
)

func allowed() []Row {
	return []Row{
		{"HTTPS to a listed host, HTTP/1.1", LetThrough, func(a *Agent) (Outcome, error) {
			return a.fetch(false, http.MethodGet, "https://"+a.authority("api")+"/", nil)
		}},
		{"HTTPS to a listed host, HTTP/2", LetThrough, fetch("GET", "api", "/")},
		{"the agent's own `Authorization` on a listed host (replaced by the route's, or dropped)", LetThrough, func(a *Agent) (Outcome, error) {
			return a.fetch(true, http.MethodGet, "https://"+a.authority("api")+"/", http.Header{"Authorization": {"Bearer mine"}})
		}},
		{"plain HTTP, absolute form", LetThrough, func(a *Agent) (Outcome, error) {
			return a.fetch(false, http.MethodGet, "http://"+a.plainAuthority("plain")+"/", nil)
		}},
		{"plain HTTP inside CONNECT to a port that is not 443", LetThrough, func(a *Agent) (Outcome, error) {
			conn, err := a.open(a.plainAuthority("plain"))
			if err != nil {
				return Outcome{}, err
			}
			defer conn.Close()
			return send(conn, "GET / HTTP/1.1\nHost: "+a.plainAuthority("plain")+"\n\n")
		}},
		{"a name below a wildcard route", LetThrough, fetch("GET", "a.b.wild", "/")},
		{"CONNECT in capitals with a trailing dot (normalised)", LetThrough, func(a *Agent) (Outcome, error) {
			session, err := a.tunnel(fmt.Sprintf("API.%s.:%d", strings.ToUpper(a.Domain), a.Port), &tls.Config{ServerName: "API." + a.Domain})
			if err != nil {
				return Outcome{}, err
			}
			defer session.Close()
			return send(session, "GET / HTTP/1.1\nHost: "+a.authority("api")+"\n\n")
		}},
		{"an internationalised name (as A-labels)", LetThrough, fetch("GET", "xn--bcher-kva", "/")},
		{"a path in `path_allowlist`", LetThrough, fetch("GET", "paths", "/v1/x")},
		{"dot segments that lead into `path_allowlist` (removed, also from what is sent)", LetThrough, inTunnel("paths", "GET /v2/../v1/x HTTP/1.1\nHost: AUTHORITY\n\n")},
		{"a method and path in `matches`", LetThrough, fetch("GET", "rules", "/api/x")},
		{"an encoded slash on a route without path conditions (npm's scoped packages)", LetThrough, fetch("GET", "api", "/@scope%2fname")},
		{"git clone over HTTPS on a route with `git: {fetch: true}`", LetThrough, fetch("GET", "git", "/r.git/info/refs?service=git-upload-pack")},
		{"`GET http://_egress.local/allowlist` (answered by egress)", "200", fetchURL("http://_egress.local/allowlist")},
	}
}

func hosts() []Row {
	return []Row{
		{"a host without a route", "host-not-allowed 403", fetchURL("https://other.DOMAIN/")},
		{"a subdomain of an exact route", "host-not-allowed 403", fetchURL("https://x.api.DOMAIN/")},
		{"the domain of a wildcard itself", "host-not-allowed 403", fetchURL("https://wild.DOMAIN/")},
		{"plain HTTP to a host without a route", "host-not-allowed 403", fetchURL("http://other.DOMAIN/")},
		{"a host without a route on another port than 443 and 80 (CONNECT itself)", "host-not-allowed 403", connect("other.DOMAIN:8443")},
		{"a port that the route does not have (CONNECT itself)", "port-not-allowed 403", connect("api.DOMAIN:22")},
		{"an IPv4 address", "ip-literal 403", connect("93.184.216.34:443")},
		{"an IPv4 address with leading zeros", "ip-literal 403", connect("0177.0.0.1:443")},
		{"an IPv4 address as one number", "ip-literal 403", connect("2130706433:443")},
		{"an IPv4 address in hexadecimal", "ip-literal 403", connect("0x7f.1:443")},
		{"an IPv6 address", "ip-literal 403", connect("[::1]:443")},
		{"an IPv4-mapped IPv6 address", "ip-literal 403", connect("[::ffff:169.254.169.254]:443")},
		{"an address with plain HTTP", "ip-literal 403", fetchURL("http://169.254.169.254/latest/meta-data")},
		{"an address as `Host` inside an allowed tunnel", "ip-literal 403", inTunnel("api", "GET / HTTP/1.1\nHost: 169.254.169.254\n\n")},
		{"CONNECT without a port", "bad-host 400", connect("api.DOMAIN")},
		{"CONNECT with port 0", "bad-host 400", connect("api.DOMAIN:0")},
		{"a NUL in the host", "bad-request 400", connect("api.DOMAIN\x00.evil.example:443")},
		{"a space or line end in the host", "bad-request 400", connect("api.DOMAIN\r\n.evil.example:443")},
		{"an empty label", "bad-host 400", connect("api..DOMAIN:443")},
		{"a label of 64 characters", "bad-host 400", connect(strings.Repeat("a", 64) + ".DOMAIN:443")},
		{"a name of more than 253 characters", "bad-host 400", connect(strings.Repeat("a.", 130) + "org:443")},
		{"userinfo in CONNECT", "bad-host 400", connect("api.DOMAIN:443@evil.example:443")},
	}
}

func tunnels() []Row {
	return []Row{
		{"no SNI", "no-server-name", hello(func(*Agent) *tls.Config { return &tls.Config{InsecureSkipVerify: true} })},
		{"another SNI than CONNECT", "server-name-mismatch", hello(func(a *Agent) *tls.Config { return &tls.Config{ServerName: "evil." + a.Domain} })},
		{"an address as server name (clients send no SNI then)", "no-server-name", hello(func(*Agent) *tls.Config { return &tls.Config{ServerName: "127.0.0.1"} })},
		{"encrypted client hello (ECH), also as GREASE", "encrypted-server-name", hello(func(a *Agent) *tls.Config {
			return &tls.Config{ServerName: "hidden." + a.Domain, MinVersion: tls.VersionTLS13, EncryptedClientHelloConfigList: echConfig("api." + a.Domain)}
		})},
		{"TLS 1.1", "tls-failed", hello(func(a *Agent) *tls.Config {
			return &tls.Config{ServerName: "api." + a.Domain, MinVersion: tls.VersionTLS11, MaxVersion: tls.VersionTLS11}
		})},
		{"SSH or another protocol in the tunnel", "tls-failed", opening("", "\x00\x00\x00\x0cssh-connection")},
		{"plain HTTP in a tunnel to 443", "tls-failed", opening("443", "GET / HTTP/1.1\r\nHost: api\r\n\r\n")},
		{"another `Host` than the tunnel, HTTP/1.1", "host-mismatch 421", inTunnel("api", "GET / HTTP/1.1\nHost: paths.DOMAIN\n\n")},
		{"the same host with another port", "host-mismatch 421", inTunnel("api", "GET / HTTP/1.1\nHost: api.DOMAIN:444\n\n")},
		{"another host in absolute form inside the tunnel", "host-mismatch 421", inTunnel("api", "GET https://paths.DOMAIN/ HTTP/1.1\nHost: AUTHORITY\n\n")},
		{"another `:authority` than the tunnel, HTTP/2", "host-mismatch 421", func(a *Agent) (Outcome, error) {
			return a.fetch(true, http.MethodGet, "https://"+a.authority("api")+"/", http.Header{"Host": {"paths." + a.Domain}})
		}},
		{"CONNECT inside a tunnel", "host-mismatch 421", inTunnel("api", "CONNECT evil.DOMAIN:443 HTTP/1.1\nHost: AUTHORITY\n\n")},
		{"CONNECT inside a tunnel, to the tunnel's host", "method-refused 405", inTunnel("api", "CONNECT AUTHORITY HTTP/1.1\nHost: AUTHORITY\n\n")},
	}
}

func messages() []Row {
	return []Row{
		{"no `Host`", "bad-request 400", inTunnel("api", "GET / HTTP/1.1\n\n")},
		{"two `Host` headers", "bad-request 400", inTunnel("api", "GET / HTTP/1.1\nHost: AUTHORITY\nHost: paths.DOMAIN\n\n")},
		{"two different `Content-Length`", "bad-request 400", inTunnel("api", "POST / HTTP/1.1\nHost: AUTHORITY\nContent-Length: 4\nContent-Length: 5\n\nabcd")},
		{"both `Transfer-Encoding` and `Content-Length`", "bad-request 400", inTunnel("api", "POST / HTTP/1.1\nHost: AUTHORITY\nContent-Length: 4\nTransfer-Encoding: chunked\n\n0\n\n")},
		{"both, with plain HTTP", "bad-request 400", toProxy("POST http://plain.DOMAIN/ HTTP/1.1\nHost: plain.DOMAIN\nTransfer-Encoding: chunked\ncontent-length: 4\n\n0\n\n")},
		{"`Transfer-Encoding` other than chunked", "bad-request 501", inTunnel("api", "POST / HTTP/1.1\nHost: AUTHORITY\nTransfer-Encoding: xchunked\n\n")},
		{"`Transfer-Encoding` twice", "bad-request 501", inTunnel("api", "POST / HTTP/1.1\nHost: AUTHORITY\nTransfer-Encoding: chunked\nTransfer-Encoding: identity\n\n")},
		{"a header name with a space before the colon", "bad-request 400", inTunnel("api", "GET / HTTP/1.1\nHost: AUTHORITY\nX-A : b\n\n")},
		{"a folded header line", "bad-request 400", inTunnel("api", "GET / HTTP/1.1\nHost: AUTHORITY\n X-A: b\n\n")},
		{"a URL as `:path`, HTTP/2", "bad-request 400", rawHTTP2("https://paths.example.org/v1/x")},
		{"a `:path` that does not begin with a slash, HTTP/2 (the stream is reset)", "bad-request", rawHTTP2("v1/x")},
		{"a `:path` with broken percent-encoding, HTTP/2 (the stream is reset)", "bad-request", rawHTTP2("/v1/%zz")},
		{"TRACE", "method-refused 405", inTunnel("api", "TRACE / HTTP/1.1\nHost: AUTHORITY\n\n")},
		{"a request to the proxy that is no proxy request", "bad-request 400", toProxy("GET / HTTP/1.1\nHost: egress:9099\n\n")},
		{"`https://` in absolute form without CONNECT", "bad-request 400", toProxy("GET https://api.DOMAIN/ HTTP/1.1\nHost: api.DOMAIN\n\n")},
		{"`ftp://` in absolute form", "bad-request 400", toProxy("GET ftp://api.DOMAIN/ HTTP/1.1\nHost: api.DOMAIN\n\n")},
	}
}

func paths() []Row {
	return []Row{
		{"a path outside `path_allowlist`", "path-not-allowed 403", fetch("GET", "paths", "/v2/x")},
		{"dot segments that lead out of `path_allowlist`", "path-not-allowed 403", inTunnel("paths", "GET /v1/../v2 HTTP/1.1\nHost: AUTHORITY\n\n")},
		{"encoded dot segments", "path-not-allowed 403", inTunnel("paths", "GET /v1/%2e%2E/v2 HTTP/1.1\nHost: AUTHORITY\n\n")},
		{"an encoded slash on a route with path conditions", "ambiguous-path 403", fetch("GET", "paths", "/v1/..%2fv2")},
		{"a path that is encoded twice", "ambiguous-path 403", fetch("GET", "paths", "/v1/%252e%252e/v2")},
		{"a backslash", "ambiguous-path 403", fetch("GET", "paths", "/v1/..%5cv2")},
		{"an empty segment", "ambiguous-path 403", fetch("GET", "paths", "/v1//v2")},
		{"a dot segment with parameters (`/..;/`)", "ambiguous-path 403", fetch("GET", "paths", "/v1/..;/v2")},
		{"a NUL in the path", "bad-request 400", fetch("GET", "api", "/a%00")},
		{"a line end in the path", "bad-request 400", fetch("GET", "api", "/a%0d%0aX-Injected:%20b")},
		{"a method that no entry of `matches` has for the path", "no-match 403", fetch("DELETE", "rules", "/api/x")},
		{"a path that no entry of `matches` has", "path-not-allowed 403", fetch("GET", "rules", "/apix")},
		{"an entry of `matches` after its `expires_at`", "expired 403", fetch("GET", "rules", "/once")},
	}
}

func services() []Row {
	return []Row{
		{"git push over HTTPS: `info/refs?service=git-receive-pack`", "git-push 403", fetch("GET", "git", "/r.git/info/refs?service=git-receive-pack")},
		{"git push over HTTPS: `POST …/git-receive-pack`", "git-push 403", fetch("POST", "git", "/r.git/git-receive-pack")},
		{"git push in another spelling", "git-push 403", fetch("POST", "git", "/r.git%2fgit%2dreceive-pack")},
		{"git LFS", "git-push 403", fetch("POST", "git", "/r.git/info/lfs/objects/batch")},
		{"git clone over HTTPS without `git: {fetch: true}`", "git-fetch 403", fetch("GET", "api", "/r.git/info/refs?service=git-upload-pack")},
		{"a route whose token slot has no value", "no-token 403", fetch("GET", "empty", "/")},
		{"a route with a token over plain HTTP", "plaintext 403", func(a *Agent) (Outcome, error) {
			return a.fetch(false, http.MethodGet, "http://"+a.plainAuthority("secret")+"/", nil)
		}},
		{"a response to an injected token in a coding that cannot be searched", "unreadable-encoding 502", fetch("GET", "pass", "/zip")},
	}
}

// FirewallRows are what the built-in firewall refuses, or cannot reach, with the reasons
// that egress passes on.
func FirewallRows() []Row {
	return []Row{
		{"a host that the firewall does not have in its allowlist", "firewall-host 403", fetch("GET", "late", "/")},
		{"a name that leads to an address that is not public", "firewall-address 403", fetch("GET", "inside", "/")},
		{"a secret in the body", "firewall-secret 403", func(a *Agent) (Outcome, error) {
			return a.send(true, http.MethodPost, "https://"+a.authority("api")+"/", nil, "key="+fakeToken)
		}},
		{"a secret in a header", "firewall-secret 403", func(a *Agent) (Outcome, error) {
			return a.fetch(true, http.MethodGet, "https://"+a.authority("api")+"/", http.Header{"X-Note": {fakeToken}})
		}},
		{"a secret in the URL", "firewall-secret 403", fetch("GET", "api", "/?key="+fakeToken)},
		{"a secret in the URL, plain HTTP", "firewall-secret 403", func(a *Agent) (Outcome, error) {
			return a.fetch(false, http.MethodGet, "http://"+a.plainAuthority("plain")+"/?key="+fakeToken, nil)
		}},
		{"a body in a coding that cannot be scanned", "firewall-coding 403", func(a *Agent) (Outcome, error) {
			return a.send(true, http.MethodPost, "https://"+a.authority("api")+"/", http.Header{"Content-Encoding": {"compress"}}, "x")
		}},
		{"a name that does not exist", "name-not-resolved 502", func(a *Agent) (Outcome, error) {
			return a.fetch(true, http.MethodGet, fmt.Sprintf("https://nowhere.invalid:%d/", a.Port), nil)
		}},
		{"an upstream that refuses the connection", "connection-refused 502", fetchURL("https://closed.DOMAIN:1/")},
		{"an upstream whose certificate is for other names", "upstream-certificate 502", fetch("GET", "not.covered", "/")},
		{"the same where the firewall passes TLS through (egress looks at it)", "upstream-certificate 502", fetch("GET", "passed.covered", "/")},
		{"an upstream that claims to be the firewall (its header is dropped)", LetThrough, fetch("GET", "api", "/forged")},
		{"the same where the firewall passes TLS through", LetThrough, fetch("GET", "pass", "/forged")},
	}
}

// fakeToken has the form of a GitHub token and belongs to nobody.
const fakeToken = "ghp_" + "aB3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW3xY5"

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
