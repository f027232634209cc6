//go:build e2e

package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestLimits wants the agent in a slice with its limits, whatever of them this host
// enforces: that the start says.
func TestLimits(t *testing.T) {
	for _, runtime := range []string{"runsc", "crun"} {
		t.Run(runtime, func(t *testing.T) {
			u := newUser(t)
			u.bottle("fixer", "[sleep, infinity]", "")
			slug := u.start("fixer", "--runtime="+runtime, "--memory=1g", "--pids-limit=300", "--cpus=1.5")
			slice := "podbottle-" + strings.ReplaceAll(slug, "-", "_") + ".slice"

			limits := command{argv: []string{"systemctl", "--user", "show", slice, "--property=MemoryMax,MemorySwapMax,TasksMax,CPUQuotaPerSecUSec"}}.succeed(t)
			if diff := cmp.Diff([]string{"CPUQuotaPerSecUSec=1.500000s", "MemoryMax=1073741824", "MemorySwapMax=0", "TasksMax=300"}, lines(limits)); diff != "" {
				t.Errorf("limits of %s (-want +got):\n%s", slice, diff)
			}
			if parent := podman(t, "inspect", "bot-bottle-"+slug, "--format", "{{.HostConfig.CgroupParent}}"); parent != slice {
				t.Errorf("the agent's cgroup parent is %q, not %s", parent, slice)
			}
			pid := podman(t, "inspect", "bot-bottle-"+slug, "--format", "{{.State.Pid}}")
			wants(t, readFile(t, filepath.Join("/proc", pid, "cgroup")), "/"+slice+"/")
			if runtime == "crun" {
				return // there only a pids controller limits processes, and the test host has none
			}
			// What the bomb leaves ends with its process group.
			bomb := u.inside(slug, "setsid --wait bash -c 'bash -c \"for i in {1..400}; do sleep infinity & done\"; kill -KILL 0'")
			wants(t, bomb.stderr, "fork: Resource temporarily unavailable")
			eventually(t, "the bottle outlives a fork bomb", func() bool { return u.inside(slug, "echo alive").stdout == "alive\n" })
		})
	}
}
