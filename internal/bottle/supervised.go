package bottle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/podbottle/podbottle/internal/blueprint"
	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/manifest"
	"github.com/podbottle/podbottle/internal/pipelock"
	"github.com/podbottle/podbottle/internal/pod"
	"github.com/podbottle/podbottle/internal/state"
	"github.com/podbottle/podbottle/internal/supervise"
	"github.com/podbottle/podbottle/internal/systemd"
)

// Supervised returns every bottle that has a queue of proposals, by slug. It asks
// Podman nothing.
func (l *Launcher) Supervised() ([]supervise.Bottle, error) {
	entries, err := os.ReadDir(filepath.Join(l.Root, "queue"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("queues of proposals: %w", err)
	}
	runtime, err := pod.RuntimeRoot()
	if err != nil {
		return nil, err
	}
	var bottles []supervise.Bottle
	for _, e := range entries {
		tree, err := state.Of(l.Root, e.Name())
		if err != nil || !e.IsDir() {
			continue
		}
		bottles = append(bottles, l.supervised(tree, e.Name(), state.Runtime(runtime, e.Name())))
	}
	return bottles, nil
}

func (l *Launcher) supervised(tree state.Tree, slug string, runtime state.RuntimeTree) supervise.Bottle {
	way, firewall := runtime.Service(string(blueprint.Egress)), runtime.Service(string(blueprint.Pipelock))
	return supervise.Bottle{
		Slug:         slug,
		Queue:        tree.Queue(),
		Audit:        filepath.Join(tree.Supervise(), supervise.AuditFile),
		Routes:       filepath.Join(way.Config(), egress.RoutesFile),
		RoutesStatus: filepath.Join(way.Run(), egress.RoutesStatusFile),
		Secrets:      way.Secrets(),
		Firewall:     filepath.Join(firewall.Config(), pipelock.ConfigFile),
		ReloadFirewall: func(ctx context.Context) error {
			return l.reloadFirewall(ctx, slug, firewall)
		},
		Manifest:      func() (supervise.ManifestFile, error) { return l.manifestFile(slug) },
		Containerfile: supervise.Plan{CurrentConfigDir: tree.CurrentConfig()}.ContainerfilePath(),
		Rebuild:       l.rebuild(slug),
	}
}

// reloadFirewall returns when the firewall works with the configuration that lies in
// its directory. The built-in engine reads it by itself and reports it; what reports
// nothing is started again.
func (l *Launcher) reloadFirewall(ctx context.Context, slug string, firewall state.RuntimeService) error {
	report := filepath.Join(firewall.Run(), pipelock.StatusFile)
	if _, err := os.Stat(report); err != nil {
		return l.restartFirewall(ctx, slug)
	}
	config, err := os.ReadFile(filepath.Join(firewall.Config(), pipelock.ConfigFile))
	if err != nil {
		return err
	}
	want := egress.Fingerprint(config)
	var refused error
	err = supervise.WaitForStatus(ctx, report, func(s pipelock.Status) (bool, error) {
		if s.SHA256 == want && s.Error != "" {
			refused = errors.New("it refuses the new configuration: " + s.Error)
		}
		return s.SHA256 == want, refused
	})
	if err == nil || refused != nil || ctx.Err() != nil {
		return err
	}
	return l.restartFirewall(ctx, slug) // it is gone, or hangs
}

// restartFirewall starts the firewall again. Where the container
// is systemd's, systemd has to do it: a container that Podman restarts leaves its unit.
func (l *Launcher) restartFirewall(ctx context.Context, slug string) error {
	if l.OwnedBySystemd(slug) {
		manager, err := systemd.Connect(ctx)
		if err != nil {
			return err
		}
		defer manager.Close()
		_, err = l.restartUnit(ctx, manager, slug, blueprint.Pipelock)
		return err
	}
	client, err := pod.Connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	return client.RestartService(ctx, slug, blueprint.Pipelock)
}

// manifestFile finds the file of the bottle that a running one was made from.
func (l *Launcher) manifestFile(slug string) (supervise.ManifestFile, error) {
	meta, err := state.ReadMetadata(l.Root, slug)
	if err != nil {
		return supervise.ManifestFile{}, err
	}
	read := func() (*manifest.Index, *manifest.Bottle, error) {
		index, err := manifest.Open(l.Root, meta.UserCwd)
		if err != nil {
			return nil, nil, err
		}
		agent, err := index.Agent(meta.AgentName, meta.AgentFromCwd)
		if err != nil {
			return nil, nil, err
		}
		b, err := index.BottleFor(agent, meta.BottleNames)
		return index, b, err
	}
	index, b, err := read()
	if err != nil {
		return supervise.ManifestFile{}, err
	}
	last := len(b.Chain) - 1
	file := supervise.ManifestFile{
		Path:  index.BottleFile(b.Chain[last]),
		Check: func() error { _, _, err := read(); return err },
	}
	if len(b.Routes) > 0 {
		file.InheritsFrom = strings.Join(b.Chain[:last], ", ")
	}
	return file, nil
}
