package proxy

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/podbottle/podbottle/internal/egress"
)

// FuzzProxy sends any bytes to the proxy, as they are or inside a tunnel to the allowed
// host, through the firewall to a real server: nothing but requests for the route's
// host and paths arrive there, each with the credential, which does not come back.
func FuzzProxy(f *testing.F) {
	for _, text := range []string{
		"GET /open/x HTTP/1.1\r\nHost: HOST\r\n\r\n",
		"GET /open/../secret HTTP/1.1\r\nHost: HOST\r\n\r\nGET /secret HTTP/1.1\r\nHost: HOST\r\n\r\n",
		"POST /open/%2e%2e/x HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\nGET /secret HTTP/1.1\r\nHost: HOST\r\n\r\n",
		"GET http://other.example.org/open/ HTTP/1.1\r\nHost: HOST\r\nAuthorization: Bearer mine\r\n\r\n",
		"GET /open/ HTTP/1.1\r\nHost: other.example.org\r\n\r\n",
		"CONNECT HOST HTTP/1.1\r\nHost: HOST\r\n\r\nGET /open/x HTTP/1.1\r\nHost: HOST\r\n\r\n",
		"GET /open/x HTTP/1.1\r\nHost: HOST\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nmessage",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
	} {
		f.Add(text, true)
		f.Add(text, false)
	}
	b, seen := newFuzzed(f)
	// The control: an ordinary request arrives and is answered.
	if got := b.exchange(f, "GET /open/x HTTP/1.1\r\nHost: HOST\r\n\r\n", true, 2*time.Minute); !strings.Contains(got, "you sent Bearer") {
		f.Fatalf("an ordinary request is answered with %q", got)
	}
	f.Fuzz(func(t *testing.T, text string, tunnelled bool) {
		answer := b.exchange(t, text, tunnelled, 100*time.Millisecond)
		if strings.Contains(answer, testToken) {
			t.Errorf("%q brings the credential back: %q", text, answer)
		}
		if what := seen.take(); what != "" {
			t.Errorf("%q makes %s", text, what)
		}
	})
}

// newFuzzed is a bottle with a route to /open/ of an upstream that tells what it was
// sent, in a response or, if it is asked to, after a switch of protocols.
func newFuzzed(f *testing.F) (*bottle, *violations) {
	f.Helper()
	var seen violations
	var b *bottle
	b = newBottle(f, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		credential := r.Header.Get("Authorization")
		switch {
		case r.Host != b.authority():
			seen.add("a request for the host " + r.Host)
		case !strings.HasPrefix(path.Clean(r.URL.Path)+"/", "/open/"):
			seen.add("a request for the path " + r.URL.Path)
		case credential != "Bearer "+testToken:
			seen.add("a request without the credential")
		}
		if protocol := r.Header.Get("Upgrade"); protocol != "" {
			switchProtocol(w, protocol, "you sent "+credential)
			return
		}
		w.Header().Set("X-Sent", credential)
		_, _ = io.WriteString(w, "you sent "+credential)
	}), func(route *egress.Route) []egress.Route {
		route.PathAllowlist = []string{"/open/"}
		return nil
	})
	return b, &seen
}

// switchProtocol answers with text, and with the first that comes then.
func switchProtocol(w http.ResponseWriter, protocol, text string) {
	conn, stream, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	fmt.Fprintf(stream, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n%s", protocol, text)
	_ = stream.Flush()
	buffer := make([]byte, 4096)
	n, _ := stream.Read(buffer)
	_, _ = conn.Write(buffer[:n])
}

// exchange sends text, in which HOST stands for the upstream's authority, and after it
// a request that ends the connection. It returns what comes until then, or until
// nothing has come for the time of patience: the text may be the beginning of anything.
func (b *bottle) exchange(t testing.TB, text string, tunnelled bool, patience time.Duration) string {
	t.Helper()
	stream := b.dial(t)
	defer stream.Close()
	if tunnelled {
		stream = b.tunnel(t, stream, "http/1.1")
	}
	const last = "\r\n\r\nGET /open/last HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n"
	_, _ = io.WriteString(stream, strings.ReplaceAll(text+last, "HOST", b.authority()))
	var answer strings.Builder
	for buffer := make([]byte, 4096); answer.Len() < 1<<20; {
		_ = stream.SetReadDeadline(time.Now().Add(patience))
		n, err := stream.Read(buffer)
		answer.Write(buffer[:n])
		if err != nil {
			break
		}
	}
	return answer.String()
}

// dial connects to the proxy.
func (b *bottle) dial(t testing.TB) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", b.proxyURL.Host)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	return conn
}

// tunnel opens a tunnel to the upstream and a TLS session in it.
func (b *bottle) tunnel(t testing.TB, conn net.Conn, protocol string) net.Conn {
	t.Helper()
	fmt.Fprintf(conn, "CONNECT %[1]s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", b.authority())
	if response, err := http.ReadResponse(bufio.NewReaderSize(conn, 16), nil); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("CONNECT: %v %v", response, err)
	}
	session := tls.Client(conn, &tls.Config{RootCAs: b.trust, ServerName: b.host, NextProtos: []string{protocol}, MinVersion: tls.VersionTLS12})
	if err := session.Handshake(); err != nil {
		t.Fatal(err)
	}
	return session
}

// violations are what a server should not have got.
type violations struct {
	mu   sync.Mutex
	what string
}

func (v *violations) add(what string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.what = what
}

func (v *violations) take() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	what := v.what
	v.what = ""
	return what
}
