//go:build e2e

package e2e

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// objects is what a bottle can leave on a host: kind → sorted names.
type objects map[string][]string

// hostObjects asks Podman, systemd and the runtime directory what there is now.
func hostObjects(t testing.TB) objects {
	t.Helper()
	all := objects{
		"pod":       lines(podman(t, "pod", "ps", "--format", "{{.Name}}")),
		"container": lines(podman(t, "ps", "--all", "--external", "--format", "{{.Names}}")),
		"network":   lines(podman(t, "network", "ls", "--format", "{{.Name}}")),
		"secret":    lines(podman(t, "secret", "ls", "--format", "{{.Name}}")),
		"volume":    lines(podman(t, "volume", "ls", "--format", "{{.Name}}")),
	}
	units := command{argv: []string{
		"systemctl", "--user", "list-units", "--all", "--plain", "--no-legend", "podbottle*", "bot-bottle*",
	}}.succeed(t)
	for _, line := range lines(units) {
		all["unit"] = append(all["unit"], strings.Fields(line)[0])
	}
	runtimeDir := filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "podbottle")
	err := filepath.WalkDir(runtimeDir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && path != runtimeDir {
			all["runtime file"] = append(all["runtime file"], path)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return all
}

// leavesNothing fails the test at its end when the host has other objects then
// than it has now. Call it first: what is cleaned up later is looked at too.
func leavesNothing(t *testing.T) {
	t.Helper()
	before := hostObjects(t)
	t.Cleanup(func() {
		if diff := cmp.Diff(before, hostObjects(t)); diff != "" {
			t.Errorf("left on the host (-before +after):\n%s", diff)
		}
	})
}

// lines splits and sorts output; no output is no lines.
func lines(output string) []string {
	if output == "" {
		return nil
	}
	return slices.Sorted(strings.SplitSeq(output, "\n"))
}
