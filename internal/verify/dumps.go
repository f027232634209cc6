package verify

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"github.com/podbottle/podbottle/internal/blueprint"
	"github.com/podbottle/podbottle/internal/pod"
	"github.com/podbottle/podbottle/internal/verify/probe"
)

// dumpsProbe asks the kernel of each sidecar that is ours.
func dumpsProbe(ctx context.Context, r *run) probe.Result {
	control := exec.CommandContext(ctx, "sleep", "60")
	if err := control.Start(); err != nil {
		return incomplete("no process for the control: %v", err)
	}
	defer func() { _ = control.Process.Kill(); _ = control.Wait() }()
	switch dumps, err := dumpable(control.Process.Pid); {
	case err != nil:
		return incomplete("the control: %v", err)
	case !dumps:
		return incomplete("a process of this user would leave none either")
	}
	var seen []string
	for _, service := range []blueprint.Service{blueprint.Egress, blueprint.Pipelock, blueprint.GitGate, blueprint.Supervise} {
		if r.summary.Services[string(service)] == "" || service == blueprint.Pipelock && r.summary.Firewall != "builtin" {
			continue
		}
		pid, user, err := r.client.Process(ctx, pod.ContainerOf(r.slug, service))
		if err != nil {
			return incomplete("%v", err)
		}
		if user == blueprint.OperatorUser {
			continue // its files in /proc belong to the same user either way
		}
		dumps, err := dumpable(pid)
		switch {
		case err != nil:
			return incomplete("%s: %v", service, err)
		case dumps:
			return breach("%s, process %d, would leave a core dump", service, pid)
		}
		seen = append(seen, string(service))
	}
	if len(seen) == 0 {
		return incomplete("no sidecar can be looked at")
	}
	return held("a process of this user would", "%s: none would", strings.Join(seen, ", "))
}

// dumpable tells whether a process may leave a core dump: if not, its files in /proc
// belong to the root of its user namespace instead of to its own user (proc(5)).
func dumpable(pid int) (bool, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // #nosec G304 -- of /proc
	if err != nil {
		return false, err
	}
	info, err := os.Stat(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "Uid:"); ok {
			owner := fmt.Sprint(info.Sys().(*syscall.Stat_t).Uid)
			return slices.Contains(strings.Fields(text), owner), nil
		}
	}
	return false, fmt.Errorf("/proc/%d/status names no user", pid)
}
