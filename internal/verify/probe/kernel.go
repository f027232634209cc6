package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

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

// call is one system call that an agent has no use for. It must fail.
type call struct {
	name string
	do   func() error
}

func raw(number uintptr, args ...uintptr) func() error {
	return func() error {
		var a [6]uintptr
		copy(a[:], args)
		_, _, errno := unix.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5])
		if errno != 0 {
			return errno
		}
		return nil
	}
}

// gate are the errors by which a kernel or a filter refuses a call outright. Any
// other one comes from behind the gate: the call was let in and only then failed.
var gate = []error{unix.EPERM, unix.EACCES, unix.ENOSYS, unix.ENODEV, unix.EOPNOTSUPP}

// refuseCalls wants every call to be refused. The calls are such that do no harm
// where they are let in, but to the thread, which ends with the probe.
func refuseCalls(calls ...call) Result {
	runtime.LockOSThread()
	if err := raw(unix.SYS_GETPID)(); err != nil {
		return incomplete("not even getpid works: %v", err)
	}
	var seen []string
	for _, c := range calls {
		err := c.do()
		if !slices.ContainsFunc(gate, func(refused error) bool { return errors.Is(err, refused) }) {
			return breach("%s was let in: %v", c.name, err)
		}
		seen = append(seen, c.name+": "+err.Error())
	}
	return held("%s", strings.Join(seen, "; ")).with("getpid works")
}

func kernelMount(context.Context, *bottle) Result {
	dir, err := scratch()
	if err != nil {
		return incomplete("%v", err)
	}
	defer os.RemoveAll(dir)
	tmpfs := []byte("tmpfs\x00")
	return refuseCalls(
		call{"mount tmpfs", func() error { return unix.Mount("tmpfs", dir, "tmpfs", 0, "") }},
		call{"mount proc", func() error { return unix.Mount("proc", dir, "proc", 0, "") }},
		call{"bind mount", func() error { return unix.Mount("/", dir, "", unix.MS_BIND, "") }},
		call{"remount", func() error { return unix.Mount("", "/run/podbottle", "", unix.MS_REMOUNT|unix.MS_BIND, "") }},
		call{"umount", func() error { return unix.Unmount(dir, 0) }},
		call{"pivot_root", func() error { return unix.PivotRoot(dir, dir) }},
		call{"fsopen", raw(unix.SYS_FSOPEN, uintptr(unsafe.Pointer(&tmpfs[0])), 0)}, // #nosec G103 -- a C string for the call
		call{"open_tree", func() error {
			_, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
			return err
		}},
	)
}

// kernelDangerous tries calls with a history of escapes.
func kernelDangerous(context.Context, *bottle) Result {
	buffer := make([]byte, 128)
	pointer := uintptr(unsafe.Pointer(&buffer[0])) // #nosec G103 -- room for the kernel to read
	return refuseCalls(
		call{"bpf", raw(unix.SYS_BPF, unix.BPF_PROG_LOAD, pointer, uintptr(len(buffer)))},
		call{"io_uring_setup", raw(unix.SYS_IO_URING_SETUP, 8, pointer)},
		call{"perf_event_open", raw(unix.SYS_PERF_EVENT_OPEN, pointer, 0, ^uintptr(0), ^uintptr(0), 0)},
		call{"init_module", raw(unix.SYS_INIT_MODULE, pointer, uintptr(len(buffer)), pointer)},
		call{"finit_module", raw(unix.SYS_FINIT_MODULE, 0, pointer, 0)},
		call{"kexec_load", raw(unix.SYS_KEXEC_LOAD, 0, 0, 0, 0)},
		call{"open_by_handle_at", raw(unix.SYS_OPEN_BY_HANDLE_AT, ^uintptr(99), pointer, 0)},
		call{"swapon", raw(unix.SYS_SWAPON, pointer, 0)},
		call{"sethostname", sameName},
		call{"quotactl", raw(unix.SYS_QUOTACTL, 0, pointer, 0, 0)},
		call{"iopl", raw(iopl, 3)},
		call{"userfaultfd", raw(unix.SYS_USERFAULTFD, 0)},
		call{"syslog", readLog},
		call{"setns to PID 1", setnsInit},
		call{"chroot", func() error { return unix.Chroot("/") }},
	)
}

// sameName sets the host name to what it is.
func sameName() error {
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	return unix.Sethostname([]byte(name))
}

// readLog reads the kernel's log. gVisor's own holds nothing of the host's.
func readLog() error {
	if isGVisor() {
		return unix.ENOSYS
	}
	const readAll = 3 // syslog(2)
	_, err := unix.Klogctl(readAll, make([]byte, 128))
	return err
}

// setnsInit enters the network namespace of the first process.
func setnsInit() error {
	fd, err := unix.Open("/proc/1/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Setns(fd, unix.CLONE_NEWNET)
}

// kernelUsers tries to become somebody else. For root the other users of the
// container are no prize, so that only the agent tries.
func kernelUsers(_ context.Context, b *bottle) Result {
	if b.task.User == "root" {
		return refuseCalls(call{"setuid", raw(unix.SYS_SETUID, 1000)}, call{"setgroups", raw(unix.SYS_SETGROUPS, 0, 0)})
	}
	return refuseCalls(
		call{"setuid", raw(unix.SYS_SETUID, 0)},
		call{"setgid", raw(unix.SYS_SETGID, 0)},
		call{"setresuid", raw(unix.SYS_SETRESUID, 0, 0, 0)},
	)
}

// kernelKeys looks for keys of the host's user (keyrings(7)).
func kernelKeys(_ context.Context, b *bottle) Result {
	name := b.task.Mark + "-key"
	own, err := unix.AddKey("user", name+"-own", []byte("x"), unix.KEY_SPEC_PROCESS_KEYRING)
	if err != nil {
		// Nothing of keyrings can be reached at all.
		return held("add_key: %v", err).with("the host's user keyring held a key of this name, or the host has none")
	}
	if _, err := unix.KeyctlSearch(unix.KEY_SPEC_PROCESS_KEYRING, "user", name+"-own", 0); err != nil {
		return incomplete("the key %d that was made for the control is not found: %v", own, err)
	}
	for _, ring := range []int{unix.KEY_SPEC_USER_KEYRING, unix.KEY_SPEC_USER_SESSION_KEYRING, unix.KEY_SPEC_SESSION_KEYRING} {
		if id, err := unix.KeyctlSearch(ring, "user", name, 0); err == nil {
			return breach("the host's key %d is found in keyring %d", id, ring)
		}
	}
	return held("the host's key is in no keyring").with("a key of its own was found")
}

// kernelFiles tries to write where the kernel takes settings, and to read memory.
func kernelFiles(context.Context, *bottle) Result {
	write := []string{
		"/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/vm/panic_on_oom", "/proc/sys/kernel/randomize_va_space",
		"/proc/irq/0/smp_affinity", "/proc/bus/pci", "/proc/acpi/wakeup", "/sys/kernel/uevent_helper", "/sys/power/state", "/sys/class/net", "/sys/fs/cgroup/cgroup.procs",
		"/sys/fs/cgroup/release_agent", "/sys/kernel/mm/transparent_hugepage/enabled", "/proc/sys/net/ipv4/ip_forward",
	}
	read := []string{"/proc/kcore", "/proc/kmsg", "/dev/mem", "/dev/kmsg", "/proc/keys", "/proc/sched_debug", "/sys/firmware/acpi/tables/DSDT", "/sys/kernel/debug/tracing/trace", "/proc/scsi/scsi", "/sys/devices/virtual/powercap"}
	if _, err := os.ReadFile("/proc/self/stat"); err != nil {
		return incomplete("/proc cannot even be read: %v", err)
	}
	for _, path := range write {
		if isGVisor() && strings.HasPrefix(path, "/proc/") {
			continue // its own: the host's settings are not behind them
		}
		file, err := os.OpenFile(path, os.O_WRONLY, 0) // #nosec G304 -- the list above
		if err == nil {
			_ = file.Close()
			return breach("%s can be opened for writing", path)
		}
	}
	for _, path := range read {
		file, err := os.Open(path) // #nosec G304 -- the list above
		if err != nil {
			continue
		}
		n, err := file.Read(make([]byte, 16))
		_ = file.Close()
		if err == nil && n > 0 && !(path == "/proc/keys") {
			return breach("%s can be read", path)
		}
	}
	return held("%d files for writing, %d for reading, none opens", len(write), len(read)).with("/proc/self/stat can be read")
}

// kernelSignals sends the signal that only asks (kill(2)) to every process id. A
// process that takes it is one of the container's or a breach.
func kernelSignals(context.Context, *bottle) Result {
	command := exec.Command("/proc/self/exe", "probe", "--hold", "signalled") // #nosec G204 -- this program
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

// kernelNested makes a user namespace, in which the process holds every
// capability, and wants it to gain nothing over what is not its own.
func kernelNested(ctx context.Context, _ *bottle) Result {
	control := exec.CommandContext(ctx, "/proc/self/exe", "version") // #nosec G204 -- this program
	if err := control.Run(); err != nil {
		return incomplete("this program cannot even be started again: %v", err)
	}
	out, err := inNamespace(ctx, &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	})
	if err != nil {
		// Some may make a namespace and not map a user into it.
		out, err = inNamespace(ctx, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER})
	}
	if err != nil {
		return held("no user namespace can be made: %v", err).with("the same program starts without one")
	}
	var could []string
	if err := json.Unmarshal(out, &could); err != nil {
		return incomplete("%v", err)
	}
	if len(could) > 0 {
		return breach("in a new user namespace: %s", strings.Join(could, ", "))
	}
	if !isGVisor() {
		return breach("a user namespace can be made on the host's kernel, which opens it to a hundred more system calls")
	}
	return held("a user namespace of gVisor's own can be made; it gives nothing over the container's network and devices").with("a program ran in it")
}

// inNamespace runs tryNested in namespaces of its own and returns what it prints.
func inNamespace(ctx context.Context, namespaces *syscall.SysProcAttr) ([]byte, error) {
	command := exec.CommandContext(ctx, "/proc/self/exe", "probe", "--nested") // #nosec G204 -- this program
	command.SysProcAttr = namespaces
	return command.Output()
}

// tryNested runs in the new user namespace and returns what it could do there.
func tryNested() []string {
	could := []string{}
	try := func(what string, err error) {
		if err == nil {
			could = append(could, what)
		}
	}
	socket := func(family, kind, protocol int) error {
		fd, err := unix.Socket(family, kind, protocol)
		if err == nil {
			_ = unix.Close(fd)
		}
		return err
	}
	try("a raw socket was opened", socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW))
	try("a packet socket was opened", socket(unix.AF_PACKET, unix.SOCK_RAW, unix.ETH_P_ALL))
	try("a mount was changed", unix.Mount("", "/run/podbottle", "", unix.MS_REMOUNT|unix.MS_BIND, ""))
	try("the host name was set", sameName())
	if dir, err := scratch(); err == nil {
		defer os.RemoveAll(dir)
		try("a device was made", unix.Mknod(dir+"/device", unix.S_IFBLK|0o600, int(unix.Mkdev(8, 0))))
	}
	return could
}
