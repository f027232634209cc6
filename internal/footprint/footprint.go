// Package footprint keeps small what a sidecar holds of the machine's memory: there are
// several in every bottle, and most of the time they wait.
package footprint

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// delay is how long after ReleaseLater the memory is given back. The garbage collector
// alone would do so after minutes, since a process that waits makes no garbage.
const delay = 10 * time.Second

var later = releaser{release: Release}

// ReleaseLater calls Release in ten seconds, once for all calls until then. It is for what
// takes memory and may be followed by silence, such as a request.
func ReleaseLater() { later.arm() }

type releaser struct {
	armed   atomic.Bool
	release func()
}

func (r *releaser) arm() {
	if r.armed.Load() || !r.armed.CompareAndSwap(false, true) {
		return
	}
	time.AfterFunc(delay, func() {
		r.armed.Store(false)
		r.release()
	})
}

// Release gives memory back that is not needed at the moment: garbage, and the pages of
// the program file, of which initialisers touch the most. The kernel maps a page again
// when it is used, from its cache, and may drop the others.
func Release() {
	debug.FreeOSMemory()
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer maps.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		if start, size, ok := readOnlyMapping(lines.Text(), program); ok {
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, start, size, unix.MADV_DONTNEED) // without effect is well too
		}
	}
}

// readOnlyMapping reads a line of proc_pid_maps(5): a mapping of the program that
// nobody can write to, so that its pages are always those of the file.
func readOnlyMapping(line, program string) (start, size uintptr, ok bool) {
	var end uintptr
	var mode string
	if _, err := fmt.Sscanf(line, "%x-%x %s", &start, &end, &mode); err != nil {
		return 0, 0, false
	}
	return start, end - start, strings.HasSuffix(line, " "+program) && strings.HasPrefix(mode, "r-") && strings.HasSuffix(mode, "p")
}
