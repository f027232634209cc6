package ready

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// Settle gives back the memory that only the start needed: garbage, and the pages of
// the program file that its initialisers touched, most of all. The kernel maps a
// page again when it is used, from its cache, and may drop the others.
func Settle() {
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
