package pod

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/containers/podman/v5/pkg/bindings/containers"
)

// Cgroup is the cgroup of a container's first process (cgroups(7), version 2): an
// absolute path.
func (c *Client) Cgroup(ctx context.Context, name string) (string, error) {
	got, err := containers.Inspect(c.with(ctx), name, nil)
	if err != nil {
		return "", fmt.Errorf("container %s: %w", name, err)
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", got.State.Pid))
	if err != nil {
		return "", fmt.Errorf("container %s: %w", name, err)
	}
	for line := range strings.Lines(string(text)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return "/sys/fs/cgroup" + path, nil
		}
	}
	return "", fmt.Errorf("container %s: no cgroup of version 2", name)
}
