// Package ready holds the markers with which a sidecar tells the host that it does
// its work: empty files in its run directory, which the host watches.
package ready

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Names of markers.
const (
	Service = "ready"       // the service answers
	Agent   = "agent-ready" // the agent's handover reached egress
)

// Clear removes markers that an earlier run of the sidecar left in dir.
func Clear(dir string, names ...string) error {
	for _, name := range names {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("stale marker: %w", err)
		}
	}
	return nil
}

// Mark creates a marker in dir, or leaves the one that is there.
func Mark(dir, name string) error {
	file, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_WRONLY, 0o644) // #nosec G304 -- our own run directory
	if err != nil {
		return fmt.Errorf("marker: %w", err)
	}
	return file.Close()
}
