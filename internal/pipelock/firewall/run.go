package firewall

import (
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/podbottle/podbottle/internal/footprint"
	"github.com/podbottle/podbottle/internal/intercept"
	"github.com/podbottle/podbottle/internal/pipelock"
	"github.com/podbottle/podbottle/internal/ready"
	"github.com/podbottle/podbottle/internal/reload"
)

// banner says what this engine is not.
const banner = "built-in firewall of podbottle: host allowlist, address guard, scan of what is sent; this is not pipelock"

type flags struct {
	slug, configDir, secretsDir, runDir, roots string
	listen                                     netip.AddrPort
}

func parseFlags(args []string) (flags, error) {
	var f flags
	set := flag.NewFlagSet("firewall", flag.ContinueOnError)
	set.StringVar(&f.slug, "slug", "", "the bottle's slug")
	set.TextVar(&f.listen, "listen", netip.MustParseAddrPort("127.0.0.1:8888"), "loopback address to listen on")
	set.StringVar(&f.configDir, "config", "/etc/podbottle", "configuration directory")
	set.StringVar(&f.secretsDir, "secrets", "/run/podbottle/secrets", "secrets directory")
	set.StringVar(&f.runDir, "run", "/run/podbottle/run", "directory of the ready marker")
	set.StringVar(&f.roots, "roots", "", "PEM file of the trusted authorities; roots.pem of the configuration directory by default")
	if err := set.Parse(args); err != nil {
		return f, err
	}
	switch {
	case set.NArg() > 0:
		return f, fmt.Errorf("unexpected argument %q", set.Arg(0))
	case f.slug == "":
		return f, errors.New("--slug is required")
	case !f.listen.Addr().IsLoopback():
		return f, fmt.Errorf("the listen address %s is not on loopback", f.listen)
	}
	if f.roots == "" {
		f.roots = filepath.Join(f.configDir, pipelock.RootsFile)
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
	if err := ready.Clear(f.runDir, ready.Service); err != nil {
		return err
	}
	configFile := filepath.Join(f.configDir, pipelock.ConfigFile)
	config, err := readConfig(configFile)
	if err != nil {
		return err
	}
	ranges, err := readRanges(filepath.Join(f.configDir, pipelock.RangesFile))
	if err != nil {
		return err
	}
	authority, err := intercept.LoadAuthority(filepath.Join(f.secretsDir, pipelock.CACertFile), filepath.Join(f.secretsDir, pipelock.CAKeyFile))
	if err != nil {
		return err
	}
	rootsPEM, err := os.ReadFile(f.roots)
	if err != nil {
		return fmt.Errorf("trusted authorities: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(rootsPEM) {
		return fmt.Errorf("trusted authorities: %s holds no certificate", f.roots)
	}
	known, err := readKnown(filepath.Join(f.secretsDir, pipelock.KnownDir))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", f.listen.String())
	if err != nil {
		return err
	}
	log.Info(banner, "slug", f.slug, "listen", f.listen, "hosts", len(config.APIAllowlist), "known_secrets", len(known))
	server := New(config, Settings{Slug: f.slug, Authority: authority, Ranges: ranges, Roots: roots, Known: known, Log: log})
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return server.Serve(ctx, listener) })
	group.Go(func() error {
		configs := &reloader{firewall: server, file: configFile, status: filepath.Join(f.runDir, pipelock.StatusFile)}
		return reload.Watch(ctx, f.configDir, log, configs.load)
	})
	if err := ready.Mark(f.runDir, ready.Service); err != nil {
		return err
	}
	go footprint.Release()
	return group.Wait()
}

// readRanges reads the file of the hosts' ranges; without one no host has any.
func readRanges(file string) (pipelock.HostRanges, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return pipelock.ParseHostRanges(data)
}
