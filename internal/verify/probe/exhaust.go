package probe

import (
	"os"
	"runtime"
	"runtime/debug"
	"syscall"

	"golang.org/x/sys/unix"
)

// Forked says how many processes could be started.
type Forked struct {
	Started int    `json:"started"`
	Refused string `json:"refused,omitempty"` // what the kernel said to the next one; empty when none was refused
}

// forkBomb starts processes that do nothing, up to so many, and ends them.
func forkBomb(most int) Forked {
	runtime.LockOSThread() // each child ends with the thread that made it
	defer runtime.UnlockOSThread()
	debug.SetGCPercent(-1) // at the limit the runtime could not have a thread for it
	var children []int
	var result Forked
	for range most {
		pid, errno := idleChild()
		if errno != 0 {
			result.Refused = errno.Error()
			break
		}
		children = append(children, pid)
	}
	result.Started = len(children)
	for _, pid := range children {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	for _, pid := range children {
		_, _ = unix.Wait4(pid, nil, 0, nil)
	}
	return result
}

// idleChild forks a child that only waits, as fork(2) does, and so costs the agent
// one task; os/exec would start a Go program, which costs several. In the child
// nothing but system calls may run, since Go's runtime has no other thread there.
//
//go:norace
func idleChild() (pid int, errno syscall.Errno) {
	id, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 || id != 0 {
		return int(id), errno
	}
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0)
	for {
		_, _, _ = syscall.RawSyscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
	}
}

// balloon takes so many bytes of memory, touches all of them, and gives them back.
func balloon(size int) error {
	memory, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return os.NewSyscallError("mmap", err)
	}
	for i := 0; i < size; i += os.Getpagesize() {
		memory[i] = 1
	}
	return unix.Munmap(memory)
}
