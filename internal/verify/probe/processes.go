package probe

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// kernelNamespaces compares the namespaces with those that the host has.
func kernelNamespaces(_ context.Context, b *bottle) Result {
	var seen []string
	for _, kind := range []string{"net", "mnt", "pid", "ipc", "uts", "cgroup", "user"} {
		own, err := os.Readlink("/proc/self/ns/" + kind)
		if err != nil {
			if isGVisor() {
				continue // it has no such files for some kinds
			}
			return incomplete("%v", err)
		}
		if b.task.Namespaces[kind] == "" {
			return incomplete("the task does not name the host's %s namespace", kind)
		}
		if own == b.task.Namespaces[kind] && !isGVisor() {
			return breach("the %s namespace is the host's", kind)
		}
		seen = append(seen, own)
	}
	if len(seen) == 0 {
		return incomplete("no namespace can be read")
	}
	return held("%s", strings.Join(seen, " ")).with("the host's were read and are others")
}

// foreign are programs of the host.
var foreign = map[string]bool{
	"systemd": true, "conmon": true, "podman": true, "podbottle": true, "netavark": true, "pasta.avx2": true, "pasta": true,
	"kthreadd": true, "runsc": true, "dbus-daemon": true,
}

// kernelProcesses wants to see the container's processes and no other.
func kernelProcesses(context.Context, *bottle) Result {
	paths, err := filepath.Glob("/proc/[0-9]*")
	if err != nil || len(paths) == 0 {
		return incomplete("/proc shows no process: %v", err)
	}
	self := false
	for _, path := range paths {
		if filepath.Base(path) == strconv.Itoa(os.Getpid()) {
			self = true
		}
		text, err := os.ReadFile(path + "/comm") // #nosec G304 -- of /proc
		if err != nil {
			continue
		}
		if foreign[strings.TrimSpace(string(text))] {
			return breach("%s is %s, a process of the host", path, strings.TrimSpace(string(text)))
		}
	}
	if !self {
		return incomplete("/proc does not even show this process")
	}
	const many = 512
	if len(paths) > many {
		return breach("%d processes are seen", len(paths))
	}
	return held("%d processes, all of the container", len(paths)).with("this process is among them")
}

// kernelSignals sends the signal that only asks (kill(2)) to every process id. A
// process that takes it is one of the container's or a breach.
func kernelSignals(context.Context, *bottle) Result {
	command := exec.Command("/proc/self/exe", "probe", "hold", "signalled") // #nosec G204 -- this program
	if err := command.Start(); err != nil {
		return incomplete("no process for the control: %v", err)
	}
	defer func() { _ = command.Process.Kill(); _ = command.Wait() }()
	most := max(1<<15, command.Process.Pid+1<<10)
	own := false
	var outside []string
	for pid := 1; pid < most; pid++ {
		if unix.Kill(pid, 0) != nil {
			continue
		}
		own = own || pid == command.Process.Pid
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)) // #nosec G304 -- of /proc
		if err != nil && unix.Kill(pid, 0) != nil {
			continue // it has ended meanwhile
		}
		if err != nil || foreign[strings.TrimSpace(string(name))] {
			outside = append(outside, fmt.Sprintf("%d (%s)", pid, strings.TrimSpace(string(name))))
		}
	}
	switch {
	case !own:
		return incomplete("not even a process of its own takes a signal")
	case len(outside) > 0:
		return breach("processes that are not of the container take signals: %s", strings.Join(outside, " "))
	}
	return held("%d process ids, none of them outside the container", most-1).with("a process of its own takes it")
}
