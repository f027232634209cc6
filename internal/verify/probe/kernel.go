package probe

import (
	"context"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func kernelProbes() []inside {
	return []inside{
		{Probe{
			ID:      "kernel.seen",
			Tried:   "ask the kernel who it is",
			Control: "it answers",
			Breach:  "it is this machine's",
			GVisor:  true,
		}, kernelSeen},
		{Probe{
			ID:      "kernel.capabilities",
			Tried:   "read the capability sets",
			Control: "they can be read",
			Breach:  "one is not empty",
			Root:    true,
		}, kernelCapabilities},
		{Probe{
			ID:      "kernel.no-new-privileges",
			Tried:   "read no-new-privileges",
			Control: "the kernel answers",
			Breach:  "it is off",
			Root:    true,
		}, kernelNoNewPrivileges},
		{Probe{
			ID:      "kernel.seccomp",
			Tried:   "read the seccomp mode",
			Control: "the kernel answers",
			Breach:  "no filter is in force",
			Root:    true,
		}, kernelSeccomp},
		{Probe{
			ID:      "kernel.namespaces",
			Tried:   "compare the namespaces with the host's",
			Control: "the host's are known",
			Breach:  "one is the host's",
		}, kernelNamespaces},
		{Probe{
			ID:      "kernel.processes",
			Tried:   "look for processes of the host in /proc",
			Control: "this process is there",
			Breach:  "one is there",
			Root:    true,
		}, kernelProcesses},
		{Probe{
			ID:      "kernel.signals",
			Tried:   "signal every process id",
			Control: "a process of its own takes it",
			Breach:  "one outside the container takes it",
			Root:    true,
		}, kernelSignals},
		{Probe{
			ID:      "kernel.mount",
			Tried:   "mount, bind, remount, unmount, pivot, and the newer calls for the same",
			Control: "getpid works",
			Breach:  "one succeeds",
			Root:    true,
		}, kernelMount},
		{Probe{
			ID:      "kernel.calls",
			Tried:   "bpf, io_uring, perf, userfaultfd, modules, kexec, file handles, swap, host name, kernel log, setns, chroot",
			Control: "getpid works",
			Breach:  "one succeeds",
			Root:    true,
		}, kernelCalls},
		{Probe{
			ID:      "kernel.users",
			Tried:   "become another user",
			Control: "getpid works",
			Breach:  "one call succeeds",
			Root:    true,
		}, kernelUsers},
		{Probe{
			ID:      "kernel.keys",
			Tried:   "find a key of this machine's user in the keyrings, and link the user's own by its number",
			Control: "verify put the key there; one of its own is found, where any can be made",
			Breach:  "it is found, or the keyring can be linked",
			Root:    true,
		}, kernelKeys},
		{Probe{
			ID:      "kernel.files",
			Tried:   "write kernel settings in /proc and /sys, and read memory and logs",
			Control: "/proc/self/stat can be read",
			Breach:  "one opens",
			Root:    true,
		}, kernelFiles},
		{Probe{
			ID:      "kernel.nested",
			Tried:   "make a user namespace and use its capabilities",
			Control: "the same program starts without one",
			Breach:  "the host's kernel makes one, or gVisor's gives anything over what is not its own",
			Root:    true,
		}, kernelNested},
	}
}

// kernelSeen tells whose kernel answers: gVisor's says so.
func kernelSeen(context.Context, *bottle) Result {
	text, err := os.ReadFile("/proc/version")
	if err != nil {
		return incomplete("%v", err)
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return incomplete("%v", err)
	}
	version := strings.TrimSpace(string(text))
	if !isGVisor() {
		return breach("this machine's kernel: %s", version)
	}
	return held("gVisor's kernel: %s", version).with("/proc/version and uname can be read")
}

func isGVisor() bool {
	text, _ := os.ReadFile("/proc/version")
	return strings.Contains(strings.ToLower(string(text)), "gvisor")
}

func kernelCapabilities(context.Context, *bottle) Result {
	fields, err := status()
	if err != nil {
		return incomplete("%v", err)
	}
	if fields["CapEff"] == "" || fields["CapBnd"] == "" {
		return incomplete("/proc/self/status has no capabilities")
	}
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		value := fields[set]
		if strings.Trim(value, "0") != "" {
			return breach("%s is %s", set, value)
		}
	}
	return held("all sets are empty").with("the sets can be read")
}

func kernelNoNewPrivileges(context.Context, *bottle) Result {
	value, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	if err != nil {
		return incomplete("%v", err)
	}
	if value != 1 {
		return breach("no-new-privileges is off")
	}
	return held("no-new-privileges is on").with("the kernel answers prctl")
}

// kernelSeccomp wants a filter, unless the kernel is the agent's own: gVisor
// filters what it asks of the host itself, and that filter is not seen from here.
func kernelSeccomp(_ context.Context, b *bottle) Result {
	if isGVisor() {
		return held("the kernel is gVisor's, which runs under a filter of its own").with("/proc/version can be read")
	}
	fields, err := status()
	if err != nil {
		return incomplete("%v", err)
	}
	const filter = "2"
	switch fields["Seccomp"] {
	case "":
		return incomplete("/proc/self/status does not say")
	case filter:
		// Filters of a sandbox around all of Podman, for one, are inherited.
		if own, err := strconv.Atoi(fields["Seccomp_filters"]); err == nil && own <= b.task.Filters {
			return breach("the container has no filter of its own: %d in force, %d of them inherited", own, b.task.Filters)
		}
		return held("a filter is in force").with("/proc/self/status can be read")
	}
	return breach("no filter is in force: Seccomp is %s", fields["Seccomp"])
}

// status returns the fields of /proc/self/status.
func status() (map[string]string, error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil, err
	}
	fields := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.TrimSpace(value)
	}
	return fields, nil
}
