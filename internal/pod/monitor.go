package pod

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/containers/podman/v5/libpod/define"
	"github.com/containers/podman/v5/pkg/domain/entities/types"
)

// States that Podman does not know. It learns of a container's end from conmon,
// and nobody tells it of conmon's own: such a container is "running" for good.
const (
	stateLost        = "lost"        // the container's process is gone
	stateUnmonitored = "unmonitored" // it runs on without conmon: no logs, no attach
)

// stateOf is a container's state, corrected by what this machine's kernel says.
func stateOf(container types.ListContainer) string {
	if container.State != define.ContainerStateRunning.String() || container.Pid <= 0 {
		return container.State
	}
	return observed("/proc", container.Pid)
}

// observed is the state of a container that should be running as pid. Its
// process is a child of conmon as long as there is one.
func observed(proc string, pid int) string {
	parent, err := parentOf(proc, pid)
	if err != nil {
		return stateLost
	}
	name, err := os.ReadFile(filepath.Join(proc, parent, "comm")) // #nosec G304 -- below /proc
	if err == nil && !strings.HasPrefix(string(name), "conmon") {
		return stateUnmonitored
	}
	return define.ContainerStateRunning.String()
}

// parentOf reads the parent's process id from the status file of a process.
func parentOf(proc string, pid int) (string, error) {
	status, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "status")) // #nosec G304 -- below /proc
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(status)) {
		if parent, ok := strings.CutPrefix(line, "PPid:"); ok {
			return strings.TrimSpace(parent), nil
		}
	}
	return "", os.ErrNotExist
}
