package proxy

import (
	"bufio"
	"bytes"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/pipelock"
)

// realPipelock is the variable that names the binary of the pinned release.
const realPipelock = "PIPELOCK_BIN"

// startPipelock runs the real pipelock with the rendered configuration, with only
// the paths and the listen address changed, and returns its address and authority.
func startPipelock(b *bottle, binary string, routes []egress.Route) (netip.AddrPort, *x509.CertPool) {
	t := b.t
	t.Helper()
	dir := t.TempDir()
	cert, key := mint(t)
	config := pipelock.NewConfig(routes)
	config.TLSInterception.CACert, config.TLSInterception.CAKey = filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key")
	data, err := config.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"ca.crt": cert, "ca.key": key, "roots.pem": b.upstreamCA, pipelock.ConfigFile: data} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	address := freeAddress(t)
	var output bytes.Buffer
	cmd := exec.Command(binary, "run", "--home", dir, "--config", filepath.Join(dir, pipelock.ConfigFile), "--listen", address)
	cmd.Env = []string{"SSL_CERT_FILE=" + filepath.Join(dir, "roots.pem"), "GODEBUG=netdns=go"}
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("pipelock said:\n%s", output.String())
		}
	})
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("pipelock does not listen: %v", err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	pool.AppendCertsFromPEM(b.upstreamCA) // for what is passed through
	return netip.MustParseAddrPort(address), pool
}

// TestRealPipelock puts the pinned release in the built-in firewall's place.
func TestRealPipelock(t *testing.T) {
	binary := os.Getenv(realPipelock)
	if binary == "" {
		t.Logf("LEFT OUT: %s names no pipelock %s, so only the built-in firewall was tried", realPipelock, pipelock.Version)
		return
	}
	version, err := exec.Command(binary, "version").CombinedOutput()
	if err != nil || !strings.Contains(string(version), pipelock.Version) {
		t.Fatalf("%s is not pipelock %s: %s %v", binary, pipelock.Version, version, err)
	}
	seen := make(chan struct{})
	upstream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch r.URL.Path {
		case "/events": // the next one only when the client has the one before
			w.Header().Set("Content-Type", "text/event-stream")
			for i := range 20 {
				fmt.Fprintf(w, "data: %d\n\n", i)
				_ = http.NewResponseController(w).Flush()
				select {
				case <-seen:
				case <-r.Context().Done():
					return
				}
			}
		case "/seen":
			seen <- struct{}{}
		case "/large":
			_, _ = io.Copy(w, io.LimitReader(&pattern{}, 6<<20))
		default:
			fmt.Fprint(w, r.Header.Get("Authorization") == "Bearer "+testToken)
		}
	})
	start := func(b *bottle, routes []egress.Route) (netip.AddrPort, *x509.CertPool) {
		b.preferHTTP2 = true
		return startPipelock(b, binary, routes)
	}
	t.Run("intercepted", func(t *testing.T) {
		// A name that the system's resolver knows as loopback without asking anybody.
		tryPipelock(t, newBottleBehind(t, "localhost", upstream, nil, start))
	})
	t.Run("passed through", func(t *testing.T) {
		b := newBottleBehind(t, "localhost", upstream, func(r *egress.Route) []egress.Route { r.TLSPassthrough = true; return nil }, start)
		client := b.client(true)
		if res, body := get(t, client, b.url("/"), nil); res.StatusCode != http.StatusOK || body != "true" {
			t.Errorf("a request with the injected token: %s %q", statusOf(res), body)
		}
		res, err := client.Post(b.url("/"), "text/plain", strings.NewReader("token "+fakeToken))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("a body that pipelock must not see: %s", res.Status)
		}
	})
}

// readEvents wants twenty events one by one.
func readEvents(t *testing.T, b *bottle, h2 bool) {
	t.Helper()
	client := b.client(h2)
	res, err := client.Get(b.url("/events"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for i := range 20 {
		if want := fmt.Sprintf("data: %d", i); !lines.Scan() || lines.Text() != want {
			t.Fatalf("got %q, %v; want %q", lines.Text(), lines.Err(), want)
		}
		lines.Scan()
		_, _ = get(t, client, b.url("/seen"), nil)
	}
}

// fakeToken has the form of a GitHub token and belongs to nobody.
const fakeToken = "ghp_" + "aB3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW3xY5"

func tryPipelock(t *testing.T, b *bottle) {
	t.Helper()
	self := netip.MustParseAddrPort(b.proxyURL.Host)
	if named, err := waitForFirewall(t.Context(), b.proxy.config.Firewall, self); named || err != nil {
		t.Errorf("pipelock gives reasons: %v, %v", named, err)
	}
	client := b.client(true)
	client.Timeout = 5 * time.Minute
	if res, body := get(t, client, b.url("/"), nil); res.StatusCode != http.StatusOK || body != "true" {
		t.Errorf("a request with the injected token: %s %q", statusOf(res), body)
	}
	for _, h2 := range []bool{false, true} {
		readEvents(t, b, h2)
	}
	if res, body := get(t, client, b.url("/large"), nil); len(body) != 6<<20 { // more than the default lets through
		t.Errorf("6 MiB: %s, %d bytes: %.200s", statusOf(res), len(body), body)
	}
	for range 100 { // more than the default allows in a minute
		if res, body := get(t, client, b.url("/"), nil); body != "true" {
			t.Fatalf("many requests: %s %q", statusOf(res), body)
		}
	}
	res, err := client.Post(b.url("/"), "text/plain", strings.NewReader("token "+fakeToken))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusForbidden || !strings.Contains(string(body), "blocked") {
		t.Errorf("a secret in a body: %s %q", res.Status, body)
	}
}
