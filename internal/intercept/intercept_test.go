package intercept

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/podbottle/podbottle/internal/egress"
)

func newAuthority(t testing.TB) (*Authority, *x509.CertPool) {
	t.Helper()
	certPEM, keyPEM, err := egress.MintCA("test", time.Now(), 48*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	authority, err := NewAuthority(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return authority, pool
}

func TestLeafIsForItsHostOnly(t *testing.T) {
	authority, pool := newAuthority(t)
	leaf, err := authority.Leaf("a.example")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := leaf.Leaf.Verify(x509.VerifyOptions{DNSName: "a.example", Roots: pool}); err != nil {
		t.Error(err)
	}
	if _, err := leaf.Leaf.Verify(x509.VerifyOptions{DNSName: "b.example", Roots: pool}); err == nil {
		t.Error("the leaf of a.example is good for b.example")
	}
	again, err := authority.Leaf("a.example")
	if err != nil || again != leaf {
		t.Errorf("a second leaf for the same host, %v", err)
	}
	if leaf.Leaf.IsCA || leaf.Leaf.NotAfter.After(time.Now().Add(leafLifetime+time.Minute)) {
		t.Errorf("leaf %+v", leaf.Leaf)
	}
}

// Leaves are kept: a clock that is set back or forth must find them valid all the same.
func TestLeafOutlivesAStepOfTheClock(t *testing.T) {
	authority, pool := newAuthority(t)
	leaf, err := authority.Leaf("a.example")
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []time.Duration{-20 * time.Hour, leafRenewal} {
		if _, err := leaf.Leaf.Verify(x509.VerifyOptions{DNSName: "a.example", Roots: pool, CurrentTime: time.Now().Add(step)}); err != nil {
			t.Errorf("a step of %v: %v", step, err)
		}
	}
}

func TestLeavesDoNotGrowWithoutBound(t *testing.T) {
	authority, _ := newAuthority(t)
	for i := range maxLeaves + 10 {
		if _, err := authority.Leaf(fmt.Sprintf("h%d.example", i)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(authority.leaves); n > maxLeaves {
		t.Errorf("%d leaves are kept", n)
	}
}

func TestAuthorityMustBeAbleToSign(t *testing.T) {
	authority, _ := newAuthority(t)
	leaf, err := authority.Leaf("a.example")
	if err != nil {
		t.Fatal(err)
	}
	if leaf.Leaf.CheckSignatureFrom(authority.cert) != nil {
		t.Error("the leaf is not signed by the authority")
	}
	if _, err := NewAuthority([]byte("no certificate"), nil); err == nil {
		t.Error("text is accepted as an authority")
	}
}

// record is a network connection that yields fixed bytes and keeps what is written.
type record struct {
	net.Conn
	in  io.Reader
	out bytes.Buffer
}

func (r *record) Read(p []byte) (int, error)       { return r.in.Read(p) }
func (r *record) Write(p []byte) (int, error)      { return r.out.Write(p) }
func (r *record) Close() error                     { return nil }
func (r *record) SetDeadline(time.Time) error      { return nil }
func (r *record) SetReadDeadline(time.Time) error  { return nil }
func (r *record) SetWriteDeadline(time.Time) error { return nil }

// helloFor is a real client hello.
func helloFor(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	client, server := net.Pipe()
	go func() { _ = tls.Client(client, config).HandshakeContext(context.Background()) }()
	defer client.Close()
	defer server.Close()
	_ = server.SetDeadline(time.Now().Add(2 * time.Minute))
	buf := make([]byte, 64<<10)
	n, err := server.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

func TestHello(t *testing.T) {
	authority, _ := newAuthority(t)
	s := NewServer(authority, http.NotFoundHandler(), io.Discard)
	for name, tt := range map[string]struct {
		hello []byte
		want  error
	}{
		"same name":     {helloFor(t, &tls.Config{ServerName: "a.example"}), ErrHandshake}, // for want of a second flight
		"capitals":      {helloFor(t, &tls.Config{ServerName: "A.Example"}), ErrHandshake},
		"other name":    {helloFor(t, &tls.Config{ServerName: "b.example"}), ErrServerName},
		"longer name":   {helloFor(t, &tls.Config{ServerName: "a.example.org"}), ErrServerName},
		"no name":       {helloFor(t, &tls.Config{InsecureSkipVerify: true}), ErrNoServerName},
		"nothing":       {nil, ErrProtocol},
		"other":         {[]byte("SSH-2.0-x\r\n"), ErrProtocol},
		"HTTP on 443":   {[]byte("GET / HTTP/1.1\r\n\r\n"), ErrProtocol},
		"half a hello":  {helloFor(t, &tls.Config{ServerName: "a.example"})[:40], ErrHandshake},
		"endless hello": {append([]byte{0x16, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff}, bytes.Repeat([]byte{0}, 1<<20)...), ErrHandshake},
	} {
		conn := &record{in: bytes.NewReader(tt.hello)}
		err := s.Serve(context.Background(), conn, bufio.NewReader(conn), Target{"a.example", 443})
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

// TestNoSessionIsResumed: only a full handshake compares the server name with the
// tunnel's host, because it asks for a certificate.
func TestNoSessionIsResumed(t *testing.T) {
	authority, pool := newAuthority(t)
	s := NewServer(authority, http.NotFoundHandler(), io.Discard)
	go func() { _ = s.Run() }()
	defer s.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = s.Serve(context.Background(), conn, bufio.NewReader(conn), Target{"a.example", 443})
		}
	}()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := &tls.Config{ServerName: "a.example", RootCAs: pool, MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
		for range 2 {
			conn, err := tls.Dial("tcp", l.Addr().String(), config)
			if err != nil {
				t.Fatal(err)
			}
			if conn.ConnectionState().DidResume {
				t.Errorf("a session of %s is resumed", tls.VersionName(version))
			}
			// A ticket would come before the answer.
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
			if answer, err := io.ReadAll(conn); len(answer) == 0 {
				t.Fatalf("no answer: %v", err)
			}
			_ = conn.Close()
		}
	}
}

// retry is how a server hello begins that only asks for another client hello (RFC 8446,
// section 4.1.3): the SHA-256 of its name, in the place of something random.
var retry = sha256.Sum256([]byte("HelloRetryRequest"))

// FuzzHello sends any first bytes: no session may come about, and no certificate
// may be given out unless the hello names the tunnel's host.
func FuzzHello(f *testing.F) {
	authority, _ := newAuthority(f)
	s := NewServer(authority, http.NotFoundHandler(), io.Discard)
	f.Add(helloFor(f, &tls.Config{ServerName: "a.example"}))
	f.Add(helloFor(f, &tls.Config{ServerName: "b.example", MaxVersion: tls.VersionTLS12}))
	f.Add(helloFor(f, &tls.Config{InsecureSkipVerify: true}))
	f.Fuzz(func(t *testing.T, first []byte) {
		conn := &record{in: bytes.NewReader(first)}
		err := s.Serve(context.Background(), conn, bufio.NewReader(conn), Target{"a.example", 443})
		if err == nil {
			t.Fatal("a session from one flight")
		}
		// The first answer to a good hello is a server hello (22); a refusal is an alert (21).
		if out := conn.out.Bytes(); len(out) > 0 && out[0] == 22 && !bytes.Contains(out, retry[:]) && !bytes.Contains(bytes.ToLower(first), []byte("a.example")) {
			t.Errorf("a server hello for a hello without the name: %x", first)
		}
	})
}
