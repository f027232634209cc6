package pod

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/containers/podman/v5/pkg/bindings/containers"
)

// InheritedFilters is how many seccomp filters a container has from those that
// started it: as many as its conmon runs under (proc_pid_status(5)).
func (c *Client) InheritedFilters(ctx context.Context, name string) (int, error) {
	got, err := containers.Inspect(c.with(ctx), name, nil)
	if err != nil {
		return 0, fmt.Errorf("container %s: %w", name, err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", got.State.ConmonPid))
	if err != nil {
		return 0, fmt.Errorf("container %s: its conmon: %w", name, err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "Seccomp_filters:"); ok {
			return strconv.Atoi(strings.TrimSpace(value))
		}
	}
	return 0, nil // Linux before 5.9 does not say
}
