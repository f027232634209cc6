package firewall

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"code.dny.dev/ssrf"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/podbottle/podbottle/internal/denial"
	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/intercept"
	"github.com/podbottle/podbottle/internal/pipelock"
	"github.com/podbottle/podbottle/internal/secret"
)

// ownToken is a secret of the test's bottle that no rule of gitleaks knows.
const ownToken = "bottle-own/secret+42-Qx9z"

// githubToken has the form of a real one and belongs to nobody.
var githubToken = "ghp_" + "aB3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW3xY5"

// wall is a firewall with an upstream behind it and a client as egress is one.
type wall struct {
	t        testing.TB
	firewall *Firewall
	client   *http.Client
	port     int
	addr     netip.AddrPort
	received chan string // bodies and targets that the upstream saw
	names    map[string][4]byte
}

// newWall allows hosts under example.org, of which pass.example.org is not intercepted.
func newWall(t testing.TB, edit func(*pipelock.Config)) *wall {
	t.Helper()
	w := &wall{t: t, received: make(chan string, 100), names: map[string][4]byte{}}
	upstreamRoots, upstreamCA := newAuthority(t)
	upstream := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		rw.Header().Set(denial.ReasonHeader, "forged")
		fmt.Fprint(rw, "upstream")
		if err == nil {
			w.received <- r.Host + " " + r.RequestURI + " " + string(body)
		}
	}))
	upstream.EnableHTTP2 = true
	upstream.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	upstream.TLS = &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) { return upstreamCA.Leaf(hello.ServerName) }}
	upstream.StartTLS()
	t.Cleanup(upstream.Close)
	w.port = upstream.Listener.Addr().(*net.TCPAddr).Port

	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	routes := []egress.Route{
		{Host: "a.example.org", SSRFIPAllowlist: loopback},
		{Host: "*.wild.example.org", SSRFIPAllowlist: loopback},
		{Host: "pass.example.org", TLSPassthrough: true, SSRFIPAllowlist: loopback},
		{Host: "public.example.org"},
		{Host: "public.wild.example.org"},
	}
	config := pipelock.NewConfig(routes)
	if edit != nil {
		edit(&config)
	}
	firewallRoots, firewallCA := newAuthority(t)
	f := New(config, Settings{
		Slug: "test", Authority: firewallCA, Ranges: pipelock.NewHostRanges(routes), Roots: upstreamRoots, Known: parts(ownToken), Resolver: w.resolver(), Log: slog.New(slog.DiscardHandler),
	})
	w.firewall = f
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	w.addr = netip.MustParseAddrPort(l.Addr().String())
	both := firewallRoots.Clone()
	for _, cert := range certificates(upstreamCA) {
		both.AddCert(cert)
	}
	w.client = &http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{
		Proxy:             http.ProxyURL(&url.URL{Scheme: "http", Host: l.Addr().String()}),
		TLSClientConfig:   &tls.Config{RootCAs: both},
		ForceAttemptHTTP2: true,
	}}
	t.Cleanup(w.client.CloseIdleConnections)
	return w
}

func certificates(a *intercept.Authority) []*x509.Certificate {
	leaf, err := a.Leaf("any.example.org")
	if err != nil {
		panic(err)
	}
	ca, err := x509.ParseCertificate(leaf.Certificate[1])
	if err != nil {
		panic(err)
	}
	return []*x509.Certificate{ca}
}

func newAuthority(t testing.TB) (*x509.CertPool, *intercept.Authority) {
	t.Helper()
	certPEM, keyPEM, err := egress.MintCA("test", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	authority, err := intercept.NewAuthority(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return pool, authority
}

// resolver asks a DNS server in this process that knows every name as 127.0.0.1 but
// for those in names.
func (w *wall) resolver() *net.Resolver {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = server.Close() })
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer, err := w.answer(buf[:n]); err == nil {
				_, _ = server.WriteTo(answer, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}

func (w *wall) answer(query []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		return nil, err
	}
	m.Response, m.Additionals = true, nil
	for _, q := range m.Questions {
		if q.Type != dnsmessage.TypeA {
			continue
		}
		addr, ok := w.names[strings.TrimSuffix(q.Name.String(), ".")]
		if !ok {
			addr = [4]byte{127, 0, 0, 1}
		}
		m.Answers = append(m.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1},
			Body:   &dnsmessage.AResource{A: addr},
		})
	}
	return m.Pack()
}

// post sends a request and returns what came back.
func (w *wall) post(host, target string, header http.Header, body io.Reader) (*http.Response, string, error) {
	req, err := http.NewRequest(http.MethodPost, fmt.Sprintf("https://%s:%d%s", host, w.port, target), body)
	if err != nil {
		w.t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	res, err := w.client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res, string(text), err
}

func TestWhatIsLetThrough(t *testing.T) {
	w := newWall(t, nil)
	large := strings.Repeat("harmless text. ", 200_000)
	for name, tt := range map[string]struct {
		host, target string
		header       http.Header
		body         io.Reader
		want         string
	}{
		"small body":                 {"a.example.org", "/x?y=1", nil, strings.NewReader("hello"), " /x?y=1 hello"},
		"no body":                    {"a.example.org", "/", nil, nil, " / "},
		"stream":                     {"a.example.org", "/", nil, io.MultiReader(strings.NewReader("one "), strings.NewReader("two")), " / one two"},
		"large body":                 {"a.example.org", "/", nil, strings.NewReader(large), " / " + large},
		"below a wildcard":           {"b.wild.example.org", "/", nil, nil, " / "},
		"the injected credential":    {"a.example.org", "/", http.Header{"Authorization": {"Bearer " + githubToken}}, nil, " / "},
		"a random key of a protocol": {"a.example.org", "/", http.Header{"Idempotency-Key": {"8e03978e-40d5-43e8-bc93-6894a57f9324"}, "If-None-Match": {`"sk9Qw8Xz7Yv6Ut5Sr4Pq3On2Ml1Kj0"`}}, nil, " / "},
		"passed through":             {"pass.example.org", "/", nil, strings.NewReader("the TLS is not ours: " + githubToken), " / the TLS is not ours: " + githubToken},
		"compressed":                 {"a.example.org", "/", http.Header{"Content-Encoding": {"gzip"}}, bytes.NewReader(zipped("hello")), " / " + string(zipped("hello"))},
	} {
		t.Run(name, func(t *testing.T) {
			res, text, err := w.post(tt.host, tt.target, tt.header, tt.body)
			if err != nil || res.StatusCode != http.StatusOK || text != "upstream" {
				t.Fatalf("%v %q %v", res, text, err)
			}
			if got, want := <-w.received, fmt.Sprintf("%s:%d%s", tt.host, w.port, tt.want); got != want {
				t.Errorf("upstream saw %.80q, want %.80q", got, want)
			}
			if tt.host != "pass.example.org" && res.Header.Get(denial.ReasonHeader) != "" {
				t.Error("the upstream's reason header got through")
			}
		})
	}
}

func zipped(text string) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write([]byte(text))
	_ = z.Close()
	return out.Bytes()
}

// slowly yields a text in pieces of n bytes and hides its length.
func slowly(text string, n int) io.Reader {
	var pieces []io.Reader
	for len(text) > 0 {
		piece := text[:min(n, len(text))]
		pieces = append(pieces, strings.NewReader(piece))
		text = text[len(piece):]
	}
	return io.MultiReader(pieces...)
}

func TestWhatIsBlocked(t *testing.T) {
	w := newWall(t, nil)
	w.names["inside.wild.example.org"] = [4]byte{10, 0, 0, 1}
	w.names["metadata.wild.example.org"] = [4]byte{169, 254, 169, 254}
	filler := strings.Repeat("harmless text. ", 100_000) // more than is scanned at once
	for name, tt := range map[string]struct {
		host, target string
		header       http.Header
		body         io.Reader
		reason       denial.Reason
	}{
		"a key in a body":                {"a.example.org", "/", nil, strings.NewReader("token: " + githubToken), denial.Secret},
		"a key in base64 in a body":      {"a.example.org", "/", nil, strings.NewReader(`"` + base64.StdEncoding.EncodeToString([]byte("token: "+githubToken)) + `"`), denial.Secret},
		"a key in a compressed body":     {"a.example.org", "/", http.Header{"Content-Encoding": {"gzip"}}, bytes.NewReader(zipped("token: " + githubToken)), denial.Secret},
		"a key in one of two codings":    {"a.example.org", "/", http.Header{"Content-Encoding": {"identity", "gzip"}}, bytes.NewReader(zipped("token: " + githubToken)), denial.Coding},
		"a key with an allow comment":    {"a.example.org", "/", nil, strings.NewReader("token: " + githubToken + " # gitleaks:allow"), denial.Secret},
		"a key in a header":              {"a.example.org", "/", http.Header{"X-Note": {githubToken}}, nil, denial.Secret},
		"a key in the query":             {"a.example.org", "/?q=" + githubToken, nil, nil, denial.Secret},
		"a key in the path":              {"a.example.org", "/x/" + githubToken, nil, nil, denial.Secret},
		"own secret in a body":           {"a.example.org", "/", nil, strings.NewReader("x" + ownToken), denial.Secret},
		"own secret in hex":              {"a.example.org", "/", nil, strings.NewReader(hex.EncodeToString([]byte(ownToken))), denial.Secret},
		"own secret in base64":           {"a.example.org", "/", nil, strings.NewReader(base64.StdEncoding.EncodeToString([]byte("abcd" + ownToken))), denial.Secret},
		"own secret in the query":        {"a.example.org", "/?q=" + url.QueryEscape(ownToken), nil, nil, denial.Secret},
		"own secret in a header":         {"a.example.org", "/", http.Header{"Cookie": {"a=" + ownToken}}, nil, denial.Secret},
		"own secret in a random header":  {"a.example.org", "/", http.Header{"Idempotency-Key": {ownToken}}, nil, denial.Secret},
		"own secret in pieces":           {"a.example.org", "/", nil, slowly("begin "+ownToken+" end", 3), denial.Secret},
		"own secret behind a megabyte":   {"a.example.org", "/", nil, strings.NewReader(filler + ownToken + filler), denial.Secret},
		"own secret behind compressed":   {"a.example.org", "/", http.Header{"Content-Encoding": {"deflate"}}, strings.NewReader("x\x9c\x03\x00\x00\x00\x00\x01" + ownToken), denial.Secret},
		"own secret in a label":          {hex.EncodeToString([]byte(strings.ToLower(ownToken))) + ".wild.example.org", "/", nil, nil, denial.Secret},
		"own secret over several labels": {hex.EncodeToString([]byte(strings.ToLower(ownToken)))[:20] + "." + hex.EncodeToString([]byte(strings.ToLower(ownToken)))[20:] + ".wild.example.org", "/", nil, nil, denial.Secret},
		"unknown coding":                 {"a.example.org", "/", http.Header{"Content-Encoding": {"compress"}}, strings.NewReader("x"), denial.Coding},
		"broken coding":                  {"a.example.org", "/", http.Header{"Content-Encoding": {"gzip"}}, strings.NewReader("x"), denial.Coding},
		"a large compressed body":        {"a.example.org", "/", http.Header{"Content-Encoding": {"gzip"}}, strings.NewReader(filler), denial.Coding},
		"a bomb":                         {"a.example.org", "/", http.Header{"Content-Encoding": {"gzip"}}, bytes.NewReader(zipped(strings.Repeat("0", maxDecoded+1))), denial.Coding},
		"a long URL":                     {"a.example.org", "/" + strings.Repeat("x", 17<<10), nil, nil, denial.Request},
		"another host's loopback":        {"public.example.org", "/", nil, nil, denial.Address},
		"a wildcard's loopback":          {"public.wild.example.org", "/", nil, nil, denial.Address},
		"a private address":              {"inside.wild.example.org", "/", nil, nil, denial.Address},
		"the metadata address":           {"metadata.wild.example.org", "/", nil, nil, denial.Address},
	} {
		t.Run(name, func(t *testing.T) {
			res, text, err := w.post(tt.host, tt.target, tt.header, tt.body)
			if err != nil {
				t.Fatal(err)
			}
			if reason, detail := denial.Take(res.Header); res.StatusCode != tt.reason.Status() || reason != tt.reason || detail == "" {
				t.Errorf("%s %s (%s) %q, want %s", res.Status, reason, detail, text, tt.reason)
			}
			if strings.Contains(text, githubToken) || strings.Contains(text, ownToken) {
				t.Errorf("the answer holds the secret: %q", text)
			}
			select {
			case got := <-w.received:
				t.Errorf("upstream received %.80q", got)
			default:
			}
		})
	}
}

func TestConnectIsRefusedForWhatIsNotListed(t *testing.T) {
	w := newWall(t, nil)
	for _, host := range []string{"evil.example", "xa.example.org", "example.org", "127.0.0.1", "2130706433"} {
		_, _, err := w.post(host, "/", nil, nil)
		if err == nil || !strings.Contains(err.Error(), "Forbidden") {
			t.Errorf("%s: %v", host, err)
		}
	}
	res, err := (&http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: w.addr.String()})}}).Get("http://127.0.0.1/")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusForbidden {
		t.Errorf("plain HTTP to an address: %s", res.Status)
	}
}

// TestAStreamIsForwardedPieceByPiece: the upstream answers each piece before the next is sent.
func TestAStreamIsForwardedPieceByPiece(t *testing.T) {
	s := newScanner(pipelock.NewConfig(nil).RequestBodyScanning, parts(ownToken))
	source, send := io.Pipe()
	body := s.stream(source)
	buf := make([]byte, 100)
	for i := range 5 {
		piece := fmt.Sprintf("message %d ends like the secret: %s", i, ownToken[:i])
		go func() { _, _ = send.Write([]byte(piece)) }()
		if _, err := io.ReadFull(body, buf[:len(piece)]); err != nil || string(buf[:len(piece)]) != piece {
			t.Fatalf("got %q, %v", buf[:len(piece)], err)
		}
	}
	go func() { _, _ = send.Write([]byte(" " + ownToken)) }()
	var found finding
	if _, err := io.ReadAll(body); !errors.As(err, &found) || found.what != ownSecret {
		t.Errorf("error %v", err)
	}
	if _, err := body.Read(buf); !errors.As(err, &found) {
		t.Errorf("reading on: %v", err)
	}
}

func TestGuard(t *testing.T) {
	g := &guard{ssrf.New(ssrf.WithAnyPort()), []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00:1::/32")}}
	for addr, want := range map[string]bool{
		"93.184.216.34": true, "8.8.8.8": true, "2606:2800:220:1::1": true, "::ffff:93.184.216.34": true,
		"10.1.2.3": true, "::ffff:10.1.2.3": true, "fd00:1::5": true,
		"127.0.0.1": false, "127.255.255.254": false, "0.0.0.0": false, "0.1.2.3": false, "10.2.0.1": false, "172.16.0.1": false,
		"192.168.1.1": false, "169.254.169.254": false, "169.254.1.2": false, "100.64.0.1": false, "192.0.0.1": false, "192.0.2.1": false,
		"198.18.0.1": false, "198.51.100.1": false, "203.0.113.1": false, "224.0.0.1": false, "240.0.0.1": false, "255.255.255.255": false,
		"192.88.99.1": false, "::": false, "::1": false, "::ffff:127.0.0.1": false, "::ffff:169.254.169.254": false, "::127.0.0.1": false,
		"64:ff9b::7f00:1": false, "64:ff9b::808:808": false, "64:ff9b:1::1": false, "2002:7f00:1::": false, "2002:808:808::1": false,
		"2001::1": false, "2001:0:4136:e378:8000:63bf:3fff:fdd2": false, "2001:db8::1": false, "3fff::1": false, "fe80::1": false,
		"fe80::1%eth0": false, "fc00::1": false, "fd00:2::1": false, "ff02::1": false, "fec0::1": false, "5f00::1": false, "100::1": false,
	} {
		if err := g.check(netip.MustParseAddr(addr)); (err == nil) != want {
			t.Errorf("%s: %v, want allowed %v", addr, err, want)
		}
	}
	for _, address := range []string{"", "nonsense", "example.org:443", "127.0.0.1"} {
		if g.control("tcp", address, nil) == nil {
			t.Errorf("%q is dialled", address)
		}
	}
}

func TestReadKnown(t *testing.T) {
	dir := t.TempDir()
	key := "-----BEGIN KEY-----\n" + strings.Repeat("k", 64) + "\nshort\n-----END KEY-----\n"
	for name, content := range map[string]string{"0": "single-line-secret\n", "1": key} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	known, err := readKnown(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []secret.Value{secret.New("single-line-secret"), secret.New(strings.TrimSpace(key)), secret.New(strings.Repeat("k", 64))}
	if len(known) != len(want) {
		t.Fatalf("%d secrets", len(known))
	}
	for i := range want {
		if !known[i].Equal(want[i]) {
			t.Errorf("secret %d is %q", i, known[i].Reveal())
		}
	}
	if known, err := readKnown(filepath.Join(dir, "absent")); len(known) != 0 || err != nil {
		t.Errorf("no directory: %v, %v", known, err)
	}
}
