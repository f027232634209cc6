package verify

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/podbottle/podbottle/internal/blueprint"
	"github.com/podbottle/podbottle/internal/config"
	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/pod"
	"github.com/podbottle/podbottle/internal/verify/probe"
)

// Limits of verify's own bottles: enough for the probes, and little enough for any
// machine to bear that an agent takes all of it.
const (
	trialTasks  = 600
	trialMemory = 1 << 30 // bytes
)

func trialLimits() config.Limits {
	return config.Limits{Tasks: trialTasks, Memory: strconv.Itoa(trialMemory)}
}

func limitsProbes() []hostProbe {
	return []hostProbe{
		{Probe: probe.Probe{
			ID:      "limits.tasks",
			Tried:   fmt.Sprintf("start twice as many processes as the bottle may have, %d", 2*trialTasks),
			Control: "some start; afterwards the bottle goes on",
			Breach:  "all of them start",
			GVisor:  true, Root: true,
		}, run: tasksProbe, own: true},
		{Probe: probe.Probe{
			ID:      "limits.memory",
			Tried:   "take half as much memory again as the agent may have, in the other bottle",
			Control: "a little can be had; afterwards that bottle's egress answers",
			Breach:  "all of it can be had",
		}, run: memoryProbe, own: true},
	}
}

// tasksProbe lets a fork bomb go off. Where nothing holds it, it is a small one.
func tasksProbe(ctx context.Context, r *run) probe.Result {
	const most, fewest = 2 * trialTasks, 10
	var seen []string
	for _, user := range []string{"agent", "root"} {
		var forked probe.Forked
		command := []string{blueprint.Handover, "handover", "--exec", "--", blueprint.Handover, "probe", "fork", strconv.Itoa(most)}
		if err := r.exec(ctx, r.summary.Container, users[user], command, nil, &forked); err != nil {
			return incomplete("as %s: %v", user, err)
		}
		switch {
		case forked.Started >= most:
			return breach("as %s: %d processes", user, forked.Started)
		case forked.Started < fewest:
			return incomplete("as %s: only %d processes start: %s", user, forked.Started, forked.Refused)
		}
		seen = append(seen, fmt.Sprintf("as %s %d processes, then: %s", user, forked.Started, forked.Refused))
	}
	var ports []uint16
	if err := r.part(ctx, &ports, "listening"); err != nil {
		return incomplete("the bottle did not survive it: %v", err)
	}
	return held("the bottle goes on", "%s", strings.Join(seen, "; "))
}

// memoryProbe fills the memory of the other bottle's agent, which may end by that.
func memoryProbe(ctx context.Context, r *run) probe.Result {
	container, err := r.client.Find(ctx, r.other)
	if err != nil {
		return incomplete("%v", err)
	}
	cgroup, err := r.slice(ctx, container.Container)
	if err != nil {
		return incomplete("%v", err)
	}
	delegated, err := pod.DelegatedControllers()
	if err != nil {
		return incomplete("%v", err)
	}
	limit, err := memoryLimit(cgroup)
	switch {
	case err != nil:
		return incomplete("%v", err)
	case limit == "" && delegated["memory"]:
		return breach("this host could limit the agent's memory, and nothing does")
	case limit == "":
		return result(notEnforced, "no memory controller is delegated")
	case limit != strconv.Itoa(trialMemory):
		return breach("the agent may have %s bytes instead of %d", limit, trialMemory)
	}
	const little, more = trialMemory / 32, trialMemory / 2
	take := func(bytes int) error {
		var took int
		return r.exec(ctx, container.Container, blueprint.AgentUser, []string{blueprint.Handover, "probe", "balloon", strconv.Itoa(bytes)}, nil, &took)
	}
	if err := take(little); err != nil {
		return incomplete("not even %d MiB can be had: %v", little>>20, err)
	}
	if err := take(trialMemory + more); err == nil {
		return breach("%d MiB can be had", (trialMemory+more)>>20)
	}
	if met, err := metLimit(cgroup); err != nil || !met {
		return incomplete("the balloon ended before it met the limit: %v", err)
	}
	target := probe.Target{Network: "tcp", Address: netip.AddrPortFrom(r.theOther().Pod, egress.Port).String()}
	if ok, err := r.reach(ctx, r.other, target); err != nil || !ok {
		return breach("the bottle's egress went with it: %v", err)
	}
	return held(fmt.Sprintf("%d MiB can be had; egress answers", little>>20), "%d MiB are refused", (trialMemory+more)>>20)
}

// slice is the cgroup of the slice that the other bottle's agent is in: an absolute
// path; empty where it is in none.
func (r *run) slice(ctx context.Context, container string) (string, error) {
	cgroup, err := r.client.Cgroup(ctx, container)
	if err != nil {
		return "", err
	}
	name := "/" + blueprint.SliceName(r.other)
	above, _, ok := strings.Cut(cgroup, name+"/")
	if !ok {
		return "", nil
	}
	return above + name, nil
}

// memoryLimit reads the memory.max (cgroups(7)) of a cgroup; empty where the kernel
// holds none.
func memoryLimit(cgroup string) (string, error) {
	text, err := os.ReadFile(filepath.Join(cgroup, "memory.max")) // #nosec G304 -- below /sys/fs/cgroup
	if cgroup == "" || os.IsNotExist(err) {
		return "", nil
	}
	return strings.TrimSpace(string(text)), err
}

// metLimit tells whether a cgroup was ever about to go over its limit.
func metLimit(cgroup string) (bool, error) {
	text, err := os.ReadFile(filepath.Join(cgroup, "memory.events")) // #nosec G304 -- below /sys/fs/cgroup
	return err == nil && !strings.Contains(string(text), "\nmax 0\n"), err
}
