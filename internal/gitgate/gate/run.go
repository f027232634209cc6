package gate

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sync/errgroup"

	"github.com/podbottle/podbottle/internal/audit"
	"github.com/podbottle/podbottle/internal/footprint"
	"github.com/podbottle/podbottle/internal/gitgate"
	"github.com/podbottle/podbottle/internal/ready"
)

// flags are the command line of the sidecar. They hold no secret.
type flags struct {
	slug, configDir, secretsDir, runDir, stateDir, agentSocket string
	listen                                                     netip.AddrPort
}

func parseFlags(args []string) (flags, error) {
	var f flags
	set := flag.NewFlagSet("git-gate", flag.ContinueOnError)
	set.StringVar(&f.slug, "slug", "", "the bottle's slug")
	set.TextVar(&f.listen, "listen", netip.AddrPort{}, "address of git daemon, IP:PORT")
	set.StringVar(&f.configDir, "config", "/etc/podbottle", "configuration directory")
	set.StringVar(&f.secretsDir, "secrets", "/run/podbottle/secrets", "secrets directory")
	set.StringVar(&f.runDir, "run", "/run/podbottle/run", "directory of the ready marker")
	set.StringVar(&f.stateDir, "state", "/var/lib/podbottle", "state directory")
	set.StringVar(&f.agentSocket, "ssh-agent", gitgate.AgentSocket, "socket of the ssh agent, for remotes that use one")
	if err := set.Parse(args); err != nil {
		return f, err
	}
	switch {
	case set.NArg() > 0:
		return f, fmt.Errorf("unexpected argument %q", set.Arg(0))
	case f.slug == "" || !f.listen.IsValid():
		return f, errors.New("--slug and --listen are required")
	}
	var err error
	f.stateDir, err = filepath.Abs(f.stateDir)
	return f, err
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
	writer, err := audit.Open(filepath.Join(f.stateDir, gitgate.AuditFile))
	if err != nil {
		return err
	}
	defer writer.Close()
	w, err := newWork()
	if err != nil {
		return err
	}
	defer os.RemoveAll(string(w))
	g, err := newGate(f, w, writer, log)
	if err != nil {
		return err
	}
	listener, err := net.Listen("unix", w.socket())
	if err != nil {
		return err
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer watcher.Close()
	if err := watcher.Add(f.configDir); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return g.serveHooks(ctx, listener) })
	group.Go(func() error { return g.watchAllowances(ctx, watcher) })
	group.Go(func() error {
		return g.daemon(ctx, f.listen, func() error {
			log.Info("ready", "slug", f.slug, "listen", f.listen, "repositories", len(g.mirrors))
			if err := ready.Mark(f.runDir, ready.Service); err != nil {
				return err
			}
			go footprint.Release()
			return nil
		})
	})
	return group.Wait()
}

// watchAllowances records what an operator lets through when it happens, and not
// only when the agent pushes again.
func (g *Gate) watchAllowances(ctx context.Context, watcher *fsnotify.Watcher) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-watcher.Errors:
			g.log.Error("watching the configuration directory", "error", err)
		case event := <-watcher.Events:
			if id, ok := gitgate.AllowanceID(filepath.Base(event.Name)); ok && event.Has(fsnotify.Create) {
				g.noteAllowance(id)
			}
		}
	}
}
