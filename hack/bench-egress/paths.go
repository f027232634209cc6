package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/pipelock"
	"github.com/podbottle/podbottle/internal/ready"
)

// Names of the paths.
const (
	direct    = "direct"
	floor     = "bare TLS relay"
	floors    = "two bare TLS relays"
	alone     = "egress alone"
	walled    = "egress and firewall"
	mitmproxy = "mitmproxy"
)

// host is a name that every resolver knows as loopback without asking anybody.
const host = "localhost"

// token is what the proxies inject.
const token = "bench-token-0123456789abcdef"

// path is one way to the upstream.
type path struct {
	name  string
	base  string   // URL of the upstream
	proxy *url.URL // nil for none
	trust *x509.CertPool
	pids  []int // of what stands between
}

// client returns a client with connections of its own.
func (p path) client() *http.Client {
	t := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.trust}, MaxIdleConnsPerHost: 1000, DisableCompression: true}
	if p.proxy != nil {
		t.Proxy = http.ProxyURL(p.proxy)
	}
	return &http.Client{Transport: t}
}

// bench is the set of running processes.
type bench struct {
	dir       string
	sidecar   string
	processes []*exec.Cmd
	paths     []path
	upstream  int // process
	egressPID int // of the one that stands alone
	// restartAlone replaces that one by a fresh process on the same port.
	restartAlone func() error
}

func newBench(sidecar, mitmdump string) (*bench, error) {
	dir, err := os.MkdirTemp("", "bench-egress-")
	if err != nil {
		return nil, err
	}
	b := &bench{dir: dir, sidecar: sidecar}
	if err := b.start(mitmdump); err != nil {
		b.stop()
		return nil, err
	}
	return b, nil
}

func (b *bench) start(mitmdump string) error {
	var authorities [3][2][]byte // upstream, firewall, egress
	for i := range authorities {
		cert, key, err := egress.MintCA("bench", time.Now(), 24*time.Hour)
		if err != nil {
			return err
		}
		authorities[i] = [2][]byte{cert, key}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	upstreamCA := authorities[0]
	if err := b.write(map[string][]byte{"upstream.crt": upstreamCA[0], "upstream.key": upstreamCA[1]}); err != nil {
		return err
	}
	upstream, tunnel, wall := freePort(), freePort(), freePort()
	if err := b.spawn(upstream, self, "upstream", address(upstream), address(tunnel), b.file("upstream.crt"), b.file("upstream.key")); err != nil {
		return err
	}
	b.upstream = b.newest()
	base := fmt.Sprintf("https://%s:%d", host, upstream)
	b.paths = append(b.paths, path{name: direct, base: base, trust: pool(upstreamCA[0])})
	if err := b.startRelays(self, upstream, upstreamCA[0]); err != nil {
		return err
	}

	routes := []egress.Route{{
		Host: host, Port: upstream, AuthScheme: egress.SchemeBearer, TokenEnv: "EGRESS_TOKEN_0",
		SSRFIPAllowlist: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
	}}
	if err := b.startFirewall(wall, routes, authorities[1], upstreamCA[0]); err != nil {
		return err
	}
	firewallPID := b.newest()
	for _, next := range []struct {
		name  string
		port  int
		roots []byte
	}{{alone, tunnel, upstreamCA[0]}, {walled, wall, authorities[1][0]}} {
		port := freePort()
		if err := b.startEgress(next.name, port, next.port, routes, authorities[2], next.roots); err != nil {
			return err
		}
		if next.name == alone {
			running := b.processes[len(b.processes)-1]
			b.restartAlone = func() error {
				_ = running.Process.Kill()
				_ = running.Wait()
				if err := b.startEgress(alone, port, next.port, routes, authorities[2], next.roots); err != nil {
					return err
				}
				running = b.processes[len(b.processes)-1]
				b.egressPID = running.Process.Pid
				return b.waitReady(alone)
			}
		}
		pids := []int{b.newest()}
		if next.name == walled {
			pids = append(pids, firewallPID)
		}
		b.paths = append(b.paths, path{next.name, base, proxyURL(port), pool(authorities[2][0]), pids})
	}
	if mitmdump == "" {
		return nil
	}
	return b.startMitmproxy(mitmdump, base)
}

// startRelays starts one relay before the upstream and another before that one: the
// floors of egress alone and of egress and firewall.
func (b *bench) startRelays(self string, next int, trusted []byte) error {
	pids := []int(nil)
	for _, name := range []string{floor, floors} {
		cert, key, err := egress.MintCA("bench", time.Now(), 24*time.Hour)
		if err != nil {
			return err
		}
		dir := strings.ReplaceAll(name, " ", "-")
		if err := b.write(map[string][]byte{dir + "/ca.crt": cert, dir + "/ca.key": key, dir + "/next.crt": trusted}); err != nil {
			return err
		}
		port := freePort()
		err = b.spawn(port, self, "relay", address(port), fmt.Sprintf("%s:%d", host, next), b.file(dir+"/ca.crt"), b.file(dir+"/ca.key"), b.file(dir+"/next.crt"))
		if err != nil {
			return err
		}
		pids = append(pids, b.newest())
		b.paths = append(b.paths, path{name: name, base: fmt.Sprintf("https://%s:%d", host, port), trust: pool(cert), pids: slices.Clone(pids)})
		next, trusted = port, cert
	}
	return nil
}

// newest is the process that was started last.
func (b *bench) newest() int { return b.processes[len(b.processes)-1].Process.Pid }

func (b *bench) startFirewall(port int, routes []egress.Route, ca [2][]byte, roots []byte) error {
	config, err := pipelock.Plan{Slug: "bench", Routes: routes}.ConfigFiles()
	if err != nil {
		return err
	}
	err = b.write(map[string][]byte{
		"wall/config/" + pipelock.ConfigFile: config[pipelock.ConfigFile],
		"wall/config/" + pipelock.RangesFile: config[pipelock.RangesFile], "wall/config/" + pipelock.RootsFile: roots,
		"wall/secrets/" + pipelock.CACertFile: ca[0], "wall/secrets/" + pipelock.CAKeyFile: ca[1], "wall/run/.keep": nil,
	})
	if err != nil {
		return err
	}
	return b.spawn(port, b.sidecar, "firewall", "--slug", "bench", "--listen", address(port),
		"--config", b.file("wall/config"), "--secrets", b.file("wall/secrets"), "--run", b.file("wall/run"))
}

func (b *bench) startEgress(name string, port, next int, routes []egress.Route, ca [2][]byte, roots []byte) error {
	table, err := egress.FormatRoutes(routes)
	if err != nil {
		return err
	}
	dir := strings.ReplaceAll(name, " ", "-")
	err = b.write(map[string][]byte{
		dir + "/config/" + egress.RoutesFile: table, dir + "/secrets/" + egress.FirewallCAFile: roots,
		dir + "/secrets/" + egress.CACertFile: ca[0], dir + "/secrets/" + egress.CAKeyFile: ca[1],
		dir + "/secrets/EGRESS_TOKEN_0": []byte(token), dir + "/run/.keep": nil, dir + "/state/.keep": nil,
	})
	if err != nil {
		return err
	}
	return b.spawn(port, b.sidecar, "egress", "--slug", "bench", "--listen", address(port), "--firewall", address(next),
		"--config", b.file(dir+"/config"), "--secrets", b.file(dir+"/secrets"), "--run", b.file(dir+"/run"), "--state", b.file(dir+"/state"))
}

// injector is the addon that makes mitmproxy do what egress does.
const injector = `def request(flow):
    flow.request.headers.pop("authorization", None)
    flow.request.headers["authorization"] = "Bearer ` + token + `"
`

func (b *bench) startMitmproxy(mitmdump, base string) error {
	if err := b.write(map[string][]byte{"inject.py": []byte(injector), "mitm/.keep": nil}); err != nil {
		return err
	}
	port := freePort()
	err := b.spawn(port, mitmdump, "--quiet", "--listen-host", "127.0.0.1", "--listen-port", fmt.Sprint(port), "--set", "confdir="+b.file("mitm"),
		"--set", "ssl_verify_upstream_trusted_ca="+b.file("upstream.crt"), "--set", "stream_large_bodies=1", "--scripts", b.file("inject.py"))
	if err != nil {
		return err
	}
	ca, err := os.ReadFile(b.file("mitm/mitmproxy-ca-cert.pem"))
	if err != nil {
		return err
	}
	b.paths = append(b.paths, path{mitmproxy, base, proxyURL(port), pool(ca), []int{b.newest()}})
	return nil
}

func (b *bench) file(name string) string { return filepath.Join(b.dir, name) }

func (b *bench) write(files map[string][]byte) error {
	for name, content := range files {
		if err := os.MkdirAll(filepath.Dir(b.file(name)), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(b.file(name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// spawn starts a process and waits until it listens on port.
func (b *bench) spawn(port int, name string, args ...string) error {
	var output bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stderr = &output
	if strings.HasSuffix(name, "podbottle-sidecar") {
		cmd.Stderr = nil // one line a request
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	b.processes = append(b.processes, cmd)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if conn, err := net.Dial("tcp", address(port)); err == nil {
			return conn.Close()
		}
	}
	return fmt.Errorf("%s does not listen: %s", name, output.String())
}

// waitReady waits until an egress is ready, and a second more.
func (b *bench) waitReady(name string) error {
	file := b.file(strings.ReplaceAll(name, " ", "-") + "/run/" + ready.Service)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(file); err == nil {
			time.Sleep(time.Second)
			return nil
		}
	}
	return fmt.Errorf("%s does not become ready", name)
}

func (b *bench) stop() {
	for _, p := range b.processes {
		_ = p.Process.Kill()
		_ = p.Wait()
	}
	if err := os.RemoveAll(b.dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		fmt.Fprintln(os.Stderr, "bench-egress:", err)
	}
}

func freePort() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	fail(err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

func proxyURL(port int) *url.URL { return &url.URL{Scheme: "http", Host: address(port)} }

func pool(pem []byte) *x509.CertPool {
	p := x509.NewCertPool()
	p.AppendCertsFromPEM(pem)
	return p
}
