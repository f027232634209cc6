package proxy

import (
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/podbottle/podbottle/internal/audit"
	"github.com/podbottle/podbottle/internal/denial"
	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/footprint"
	"github.com/podbottle/podbottle/internal/intercept"
	"github.com/podbottle/podbottle/internal/ready"
)

// flags are the command line of the sidecar. They hold no secret.
type flags struct {
	slug, configDir, secretsDir, runDir, stateDir string
	listen, firewall, metrics                     netip.AddrPort
	gitGate                                       string
	supervise                                     bool
	preferHTTP2                                   bool
}

func parseFlags(args []string) (flags, error) {
	var f flags
	set := flag.NewFlagSet("egress", flag.ContinueOnError)
	set.StringVar(&f.slug, "slug", "", "the bottle's slug")
	set.TextVar(&f.listen, "listen", netip.AddrPort{}, "address of the proxy, IP:PORT")
	set.TextVar(&f.firewall, "firewall", netip.MustParseAddrPort("127.0.0.1:8888"), "address of the firewall")
	set.TextVar(&f.metrics, "metrics", netip.AddrPort{}, "loopback address of the Prometheus metrics; none by default")
	set.StringVar(&f.gitGate, "git-gate", "", "URL of git-gate, for the answer to a git push")
	set.BoolVar(&f.supervise, "supervise", false, "say how the agent can ask for what is refused")
	set.BoolVar(&f.preferHTTP2, "prefer-http2", false, "send requests in HTTP/1.1 on in HTTP/2 to a firewall that intercepts them")
	set.StringVar(&f.configDir, "config", "/etc/podbottle", "configuration directory")
	set.StringVar(&f.secretsDir, "secrets", "/run/podbottle/secrets", "secrets directory")
	set.StringVar(&f.runDir, "run", "/run/podbottle/run", "directory of the ready markers")
	set.StringVar(&f.stateDir, "state", "/var/lib/podbottle", "state directory")
	if err := set.Parse(args); err != nil {
		return f, err
	}
	switch {
	case set.NArg() > 0:
		return f, fmt.Errorf("unexpected argument %q", set.Arg(0))
	case f.slug == "" || !f.listen.IsValid():
		return f, errors.New("--slug and --listen are required")
	case !f.firewall.Addr().IsLoopback():
		return f, fmt.Errorf("the firewall %s is not on loopback", f.firewall)
	case f.metrics.IsValid() && !f.metrics.Addr().IsLoopback():
		return f, fmt.Errorf("the metrics address %s is not on loopback", f.metrics)
	}
	return f, nil
}

// Run is the sidecar's main function: it serves until ctx ends.
func Run(ctx context.Context, args []string) error {
	f, err := parseFlags(args)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	if err := ready.Clear(f.runDir, ready.Service, ready.Agent); err != nil {
		return err
	}
	authority, err := intercept.LoadAuthority(filepath.Join(f.secretsDir, egress.CACertFile), filepath.Join(f.secretsDir, egress.CAKeyFile))
	if err != nil {
		return err
	}
	roots, err := upstreamRoots(f)
	if err != nil {
		return err
	}
	records, err := audit.Open(filepath.Join(f.stateDir, egress.AuditFile))
	if err != nil {
		return err
	}
	defer records.Close()
	if records.Torn > 0 {
		log.Warn("audit: cut an incomplete last line", "bytes", records.Torn)
	}
	proxy := New(Config{
		Slug: f.slug, Authority: authority, Firewall: f.firewall, Roots: roots, TokenDir: f.secretsDir,
		PreferHTTP2: f.preferHTTP2, GitGate: f.gitGate, Supervise: f.supervise, Audit: records, Log: log,
		AgentReady: func() error { return ready.Mark(f.runDir, ready.Agent) },
	})
	breakOpen(proxy)
	routes := &reloader{proxy: proxy, dir: f.configDir, status: filepath.Join(f.runDir, egress.RoutesStatusFile)}
	if err := routes.load(); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", f.listen.String())
	if err != nil {
		return err
	}
	var scrapes net.Listener
	if f.metrics.IsValid() {
		if scrapes, err = net.Listen("tcp", f.metrics.String()); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return proxy.Serve(ctx, listener) })
	group.Go(func() error { return routes.watch(ctx) })
	if scrapes != nil {
		group.Go(func() error { return proxy.metrics.serve(ctx, scrapes) })
	}
	group.Go(func() error {
		named, err := waitForFirewall(ctx, f.firewall, f.listen)
		if err != nil {
			return err
		}
		proxy.namesReasons.Store(named)
		log.Info("ready", "slug", f.slug, "listen", f.listen, "firewall", f.firewall)
		if err := ready.Mark(f.runDir, ready.Service); err != nil {
			return err
		}
		footprint.Release()
		return nil
	})
	return group.Wait()
}

// upstreamRoots are the authorities trusted on the upstream leg. The firewall's
// own must be there; the system's and the operator's are for hosts whose TLS the
// firewall passes through, and without them those hosts fail.
func upstreamRoots(f flags) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	firewall, err := os.ReadFile(filepath.Join(f.secretsDir, egress.FirewallCAFile))
	if err != nil {
		return nil, fmt.Errorf("the firewall's certificate authority: %w", err)
	}
	if !pool.AppendCertsFromPEM(firewall) {
		return nil, errors.New("the firewall's certificate authority holds no certificate")
	}
	system, err := os.ReadFile(filepath.Join(f.configDir, egress.RootsFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("system roots: %w", err)
	}
	pool.AppendCertsFromPEM(system)
	return pool, nil
}

const (
	probeInterval = 20 * time.Millisecond
	probeTimeout  = 5 * time.Second
)

// waitForFirewall returns once the firewall enforces: a request through it to
// this proxy itself, an address that no bottle may reach, is refused with 403.
// Any other answer is an error: a firewall that lets that through is none. named is whether
// the refusal has a reason that egress knows.
func waitForFirewall(ctx context.Context, firewall, self netip.AddrPort) (named bool, err error) {
	client := &http.Client{
		Transport: &http.Transport{
			Proxy:             http.ProxyURL(&url.URL{Scheme: "http", Host: firewall.String()}),
			DisableKeepAlives: true,
		},
		Timeout:       probeTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	ticker := time.NewTicker(probeInterval)
	defer ticker.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+self.String()+"/", nil)
		if err != nil {
			return false, err
		}
		res, err := client.Do(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
			_ = res.Body.Close()
			if res.StatusCode == http.StatusForbidden {
				reason, _ := denial.Take(res.Header)
				return reason != "", nil
			}
			return false, fmt.Errorf("the firewall %s answered %d where it must refuse: it does not enforce", firewall, res.StatusCode)
		}
		select {
		case <-ctx.Done():
			return false, nil
		case <-ticker.C:
		}
	}
}
