package bottle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/podbottle/podbottle/internal/pod"
	"github.com/podbottle/podbottle/internal/quadlet"
)

// unitCALifetime is how long the authorities of a bottle of systemd are good
// for: longer than a pod runs without a restart.
const unitCALifetime = 365 * 24 * time.Hour

// Prepare is what the pod's unit runs before Podman: it writes what the
// containers mount to a new runtime directory, with authorities that are minted
// now and never leave that directory.
func (l *Launcher) Prepare(ctx context.Context, name string) error {
	snapshot, err := l.readSnapshot(name)
	if err != nil {
		return err
	}
	if _, err := pod.WriteProfile(l.dataDir()); err != nil { // that of this podbottle, after an upgrade
		return err
	}
	awaitAddress(ctx)
	egress, firewall, err := authorities(name, unitCALifetime)
	if err != nil {
		return err
	}
	b, err := snapshot.Bottle(egress, firewall)
	if err != nil {
		return err
	}
	dir, err := l.RuntimeDir(name)
	if err != nil {
		return err
	}
	if err := pod.RemoveTree(dir); err != nil {
		return fmt.Errorf("runtime directory of the last run: %w", err)
	}
	return pod.WriteFiles(dir, b)
}

func (l *Launcher) readSnapshot(name string) (quadlet.Snapshot, error) {
	tree, err := l.unitTree(name)
	if err != nil {
		return quadlet.Snapshot{}, err
	}
	data, err := os.ReadFile(tree.snapshot())
	if errors.Is(err, fs.ErrNotExist) {
		return quadlet.Snapshot{}, fmt.Errorf("bottle %s %w", name, ErrNotInstalled)
	}
	if err != nil {
		return quadlet.Snapshot{}, err
	}
	return quadlet.ParseSnapshot(data)
}

// awaitAddress waits until the host has an address besides its own loopback, as
// it may not have yet at boot: pasta takes the host's addresses over when it
// starts, and never again. Without one the bottle starts all the same.
func awaitAddress(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		addresses, err := net.InterfaceAddrs()
		if err != nil {
			return
		}
		for _, a := range addresses {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().IsGlobalUnicast() {
				return
			}
		}
		if !pause(ctx, 100*time.Millisecond) {
			return
		}
	}
}

// awaitTime bounds the time from the start of the agent's container to the last
// marker.
const awaitTime = 60 * time.Second

// Await is what the agent's unit runs after Podman: it returns when every
// service of the bottle does its work and the agent was handed its container.
func (l *Launcher) Await(ctx context.Context, name string) error {
	snapshot, err := l.readSnapshot(name)
	if err != nil {
		return err
	}
	dir, err := l.RuntimeDir(name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, awaitTime)
	defer cancel()
	for {
		missing := missingMarkers(dir, snapshot.Markers())
		if len(missing) == 0 {
			return nil
		}
		// systemd names the container's monitor, which ends with the container.
		if pid := os.Getenv("MAINPID"); pid != "" {
			if _, err := os.Stat(filepath.Join("/proc", pid)); err != nil {
				return fmt.Errorf("the agent ended before it was handed its container; see podbottle quadlet logs %s", name)
			}
		}
		if !pause(ctx, 10*time.Millisecond) {
			return fmt.Errorf("not ready after %v: %s; see podbottle quadlet logs %s", awaitTime, strings.Join(missing, ", "), name)
		}
	}
}

func missingMarkers(dir string, markers []string) []string {
	var missing []string
	for _, marker := range markers {
		if _, err := os.Stat(filepath.Join(dir, marker)); err != nil {
			missing = append(missing, marker)
		}
	}
	return missing
}

// pause waits, and tells whether ctx is still good.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
