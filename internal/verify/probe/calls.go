package probe

import (
	"context"
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

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

// kernelCalls tries calls with a history of escapes.
func kernelCalls(context.Context, *bottle) Result {
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
