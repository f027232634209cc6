// Package crashtest kills a program at each of its changes to the file system, for
// tests that what it leaves can be read and gone on with.
//
// The program is the test binary again, traced with ptrace(2). Main must be called
// from the TestMain of its package.
package crashtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The variables that make a test binary the program to kill.
const (
	operationVariable = "PODBOTTLE_CRASHTEST_OPERATION"
	dirVariable       = "PODBOTTLE_CRASHTEST_DIR"
)

// Only the first thread is traced: the program has to stay on it.
func init() {
	if os.Getenv(operationVariable) != "" {
		runtime.LockOSThread()
	}
}

// Main runs the tests, or in a program to kill one of the operations, and exits.
func Main(m *testing.M, operations map[string]func(dir string) error) {
	name := os.Getenv(operationVariable)
	if name == "" {
		os.Exit(m.Run())
	}
	begin()
	if err := operations[name](os.Getenv(dirVariable)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// begin is a system call that says where the operation begins.
func begin() { _ = unix.Kill(os.Getpid(), 0) }

// points are the system calls that change files, or the order in which changes
// reach the disk, as Go makes them. The program is killed before each.
var points = []uint64{
	unix.SYS_OPENAT, unix.SYS_WRITE, unix.SYS_PWRITE64, unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_CLOSE, unix.SYS_FCHMOD,
	unix.SYS_FCHMODAT, unix.SYS_FTRUNCATE, unix.SYS_FLOCK, unix.SYS_MKDIRAT, unix.SYS_UNLINKAT, unix.SYS_RENAMEAT, unix.SYS_LINKAT,
}

// Each runs an operation in a new directory that prepare fills, again and again:
// killed before its first point, its second, and so on, until it comes to its end.
// After each time check is told where it was killed; it is told 0 at the end.
// Each returns how many points the operation has.
func Each(t *testing.T, operation string, prepare func(dir string), check func(dir string, point int)) int {
	t.Helper()
	// Only the thread that started a program may trace it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for point := 1; ; point++ {
		dir := t.TempDir()
		prepare(dir)
		killed, err := run(operation, dir, point)
		if err != nil {
			t.Fatalf("%s, killed before point %d: %v", operation, point, err)
		}
		if !killed {
			check(dir, 0)
			return point - 1
		}
		check(dir, point)
		if t.Failed() {
			t.Fatalf("%s was killed before point %d", operation, point)
		}
	}
}

// run runs an operation and kills it before its point n; it tells whether it got there.
func run(operation, dir string, n int) (killed bool, err error) {
	cmd := exec.Command(os.Args[0]) // #nosec G204 -- the test binary
	cmd.Env = append(os.Environ(), operationVariable+"="+operation, dirVariable+"="+dir, "GODEBUG=asyncpreemptoff=1")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		return false, err
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	pid := cmd.Process.Pid
	status, err := stopped(pid) // by its own exec
	if err != nil {
		return false, err
	}
	if err := unix.PtraceSetOptions(pid, unix.PTRACE_O_TRACESYSGOOD|unix.PTRACE_O_EXITKILL); err != nil {
		return false, err
	}
	for begun, seen := false, 0; ; {
		signal := 0
		if s := status.StopSignal(); s != unix.SIGTRAP && s != unix.SIGTRAP|systemCall {
			signal = int(s)
		}
		if err := unix.PtraceSyscall(pid, signal); err != nil {
			return false, err
		}
		if status, err = stopped(pid); err != nil {
			return false, err
		}
		if status.Exited() {
			if status.ExitStatus() != 0 {
				return false, fmt.Errorf("exit status %d", status.ExitStatus())
			}
			return false, nil
		}
		number, entered, err := systemCallOf(pid, status)
		switch {
		case err != nil:
			return false, err
		case !entered:
		case number == unix.SYS_KILL:
			begun = true
		case begun && slices.Contains(points, number):
			if seen++; seen == n {
				return true, nil
			}
		}
	}
}

// systemCall marks a stop at a system call, see PTRACE_O_TRACESYSGOOD.
const systemCall = 0x80

// stopped waits until the traced thread stops or ends.
func stopped(pid int) (status unix.WaitStatus, err error) {
	for {
		_, err = unix.Wait4(pid, &status, unix.WALL, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err == nil && status.Signaled() {
		err = fmt.Errorf("ended by %v", status.Signal())
	}
	return status, err
}

// systemCallInfo begins as struct ptrace_syscall_info, see ptrace(2).
type systemCallInfo struct {
	Op     uint8
	_      [3]uint8
	Arch   uint32
	_      [2]uint64 // instruction and stack pointer
	Number uint64
	_      [7]uint64
}

// systemCallOf returns the number of the system call that a thread is about to
// make; entered is false when it is stopped for anything else.
func systemCallOf(pid int, status unix.WaitStatus) (number uint64, entered bool, err error) {
	if status.StopSignal() != unix.SIGTRAP|systemCall {
		return 0, false, nil
	}
	const atEntry = 1 // PTRACE_SYSCALL_INFO_ENTRY
	var info systemCallInfo
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(pid), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0) // #nosec G103 -- for the kernel
	if errno != 0 {
		return 0, false, errno
	}
	return info.Number, info.Op == atEntry, nil
}
