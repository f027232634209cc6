package bottle

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/podbottle/podbottle/internal/blueprint"
	"github.com/podbottle/podbottle/internal/pod"
	"github.com/podbottle/podbottle/internal/ready"
	"github.com/podbottle/podbottle/internal/state"
)

// Restart restarts the sidecars of a bottle that do not run, and prints their
// names. The agent goes on meanwhile.
func (l *Launcher) Restart(ctx context.Context, name string) error {
	client, err := pod.Connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	found, err := l.find(ctx, client, name)
	if err != nil {
		return err
	}
	slug := found.Slug
	if l.OwnedBySystemd(slug) {
		return fmt.Errorf("bottle %s is installed as units; restart it with: podbottle quadlet restart %s", slug, slug)
	}
	dead, err := deadSidecars(found)
	if err != nil {
		return err
	}
	if len(dead) == 0 {
		fmt.Fprintf(l.Err, "Every service of %s runs.\n", slug)
	}
	root, err := pod.RuntimeRoot()
	if err != nil {
		return err
	}
	for _, service := range dead {
		marker := filepath.Join(state.Runtime(root, slug).Service(string(service)).Run(), ready.Service)
		if err := l.restart(ctx, client, slug, service, marker); err != nil {
			return err
		}
		fmt.Fprintln(l.Out, service)
	}
	return nil
}

// deadSidecars are the sidecars that a restart brings back. The network of all of
// them is the infra container's, and the agent's program is gone with its
// container: without one of those two the bottle has to be made anew.
func deadSidecars(b pod.Summary) ([]blueprint.Service, error) {
	var dead []blueprint.Service
	for _, name := range slices.Sorted(maps.Keys(b.Services)) {
		switch service := b.Services[name]; {
		case service == "running":
		case name == string(blueprint.Agent), name == "infra":
			return nil, fmt.Errorf("%s of %s is %s, which a restart of sidecars does not mend; keep the agent's home and start anew with: podbottle stop %s && podbottle resume %s",
				name, b.Slug, service, b.Slug, b.Slug)
		default:
			dead = append(dead, blueprint.Service(name))
		}
	}
	return dead, nil
}

// restart restarts one sidecar and, if it has marked itself ready before, waits
// until it does so again: a firewall that is not ours has no marker.
func (l *Launcher) restart(ctx context.Context, client *pod.Client, slug string, service blueprint.Service, marker string) error {
	before := madeAt(marker)
	if err := client.RestartService(ctx, slug, service); err != nil || before.IsZero() {
		return err
	}
	if !awaitMarker(ctx, marker, before) {
		return fmt.Errorf("%s of %s was restarted and is not ready; see podbottle logs %s --service %s", service, slug, slug, service)
	}
	return nil
}

// madeAt is when a marker was made; zero when there is none.
func madeAt(marker string) time.Time {
	info, err := os.Stat(marker)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// awaitMarker waits until a marker is there that was made at another time than
// before, and tells whether it came. It may be an earlier time: clocks are set back.
func awaitMarker(ctx context.Context, marker string, before time.Time) bool {
	ctx, cancel := context.WithTimeout(ctx, awaitTime)
	defer cancel()
	for {
		if at := madeAt(marker); !at.IsZero() && !at.Equal(before) {
			return true
		}
		if !pause(ctx, 10*time.Millisecond) {
			return false
		}
	}
}
