//go:build e2e && soak

package e2e

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// soakCycles is set by make soak.
var soakCycles = flag.Int("cycles", 500, "how many bottles TestSoak starts and removes")

// TestSoak starts and removes one bottle after the other. No start may fail, and
// after every tenth the host must be as it was before the first: what leaks is
// then known to within ten bottles.
func TestSoak(t *testing.T) {
	u := newUser(t)
	u.bottle("soak", "[bash]", "")
	before := hostObjects(t)
	// The first bottle brings what stays: Podman's database and locks, and runsc's mount.
	u.must("stop", "--discard", u.start("soak"))
	first := hostSize(t)
	for cycle := 1; cycle <= *soakCycles && !t.Failed(); cycle++ {
		r := u.run("start", "soak", "--detach", "--yes")
		if r.status != 0 {
			t.Fatalf("start %d of %d: status %d\n%s", cycle, *soakCycles, r.status, r.stderr)
		}
		slug := strings.TrimSpace(r.stdout)
		if r := u.inside(slug, "echo alive"); r.stdout != "alive\n" {
			t.Errorf("bottle %d of %d: %+v", cycle, *soakCycles, r)
		}
		u.must("stop", "--discard", slug)
		if cycle%10 == 0 || cycle == *soakCycles {
			u.nothingLeft(before)
			t.Logf("%d bottles started and removed", cycle)
		}
	}
	last := hostSize(t)
	t.Logf("before %v, after %v", first, last)
	if last.mounts > first.mounts || last.processes > first.processes || last.files-first.files > *soakCycles/2+10 {
		t.Errorf("the host has grown from %v to %v", first, last)
	}
}

// size counts what hostObjects does not name.
type size struct{ mounts, processes, files int }

func (s size) String() string {
	return fmt.Sprintf("%d mounts, %d processes, %d files", s.mounts, s.processes, s.files)
}

// hostSize counts what there is of Podman's: mounts in its name space, processes
// that bottles and podbottle consist of, and files.
func hostSize(t *testing.T) size {
	t.Helper()
	count := func(argv ...string) int {
		t.Helper()
		n, err := strconv.Atoi(strings.TrimSpace(command{argv: argv}.succeed(t)))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	return size{
		mounts:    count("podman", "unshare", "sh", "-c", "wc -l </proc/self/mountinfo"),
		processes: processes(t),
		files: count("podman", "unshare", "sh", "-c", `find "$@" 2>/dev/null | wc -l`, "sh",
			filepath.Join(home, ".local/share/containers"), filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "containers")),
	}
}

// processes counts the processes that bottles and podbottle consist of. It leaves out
// the conmon of a command that ended: Podman keeps it for five minutes, so that the
// command's status can be asked for (exit_command_delay in containers.conf).
func processes(t *testing.T) (n int) {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		argv, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		name, _, _ := strings.Cut(string(argv), "\x00")
		ours := strings.HasPrefix(filepath.Base(name), "conmon") || strings.HasPrefix(filepath.Base(name), "runsc") || strings.HasPrefix(filepath.Base(name), "podbottle")
		if ours && !strings.Contains(string(argv), "--exec-attach") {
			n++
		}
	}
	return n
}

// TestSoakTogether starts twenty bottles at once, has them work, and stops them at once.
func TestSoakTogether(t *testing.T) {
	const bottles = 20
	server := startUpstream(t, upstreamIP+":8443", nil)
	u := newUser(t, "BOT_BOTTLE_EXTRA_CA_CERTS="+server.caFile)
	u.bottle("soak", "[bash]", route(""))
	before := hostObjects(t)
	together := func(what string, args func(i int) []string) (results [bottles]result) {
		t.Helper()
		began := time.Now()
		var all [bottles]*running
		for i := range all {
			all[i] = u.podbottle(args(i)...).start(t)
		}
		for i, r := range all {
			if results[i] = r.wait(); results[i].status != 0 {
				t.Errorf("%s: %v", what, results[i])
			}
		}
		t.Logf("%s: %d bottles in %v", what, bottles, time.Since(began).Round(100*time.Millisecond))
		return results
	}
	started := together("start", func(int) []string { return []string{"start", "soak", "--detach", "--yes"} })
	slug := func(i int) string { return strings.TrimSpace(started[i].stdout) }
	for _, r := range together("work", func(i int) []string {
		return []string{"exec", slug(i), "--", "curl", "-sS", "-m", "120", "https://upstream.test:8443/"}
	}) {
		if r.stdout != "upstream\n" {
			t.Errorf("the allowed host is not reached: %v", r)
		}
	}
	together("stop", func(i int) []string { return []string{"stop", "--discard", slug(i)} })
	u.nothingLeft(before)
}

// TestSoakMemory prints what the sidecars of an idle bottle keep in memory, as the
// proportional set size, which counts shared pages once among those who share them.
func TestSoakMemory(t *testing.T) {
	const limit = 60 << 10 // KiB, together
	lab := newLab(t, "[bash]")
	slug := lab.start("k")
	total := 0
	for _, service := range []string{"infra", "egress", "pipelock", "git-gate", "supervise"} {
		pid := containerPID("-"+service)(lab, slug)
		rollup := podman(t, "unshare", "cat", fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		_, pss, _ := strings.Cut(rollup, "\nPss:")
		kilobytes := number(strings.SplitN(pss, "kB", 2)[0])
		if kilobytes == 0 {
			t.Errorf("%s: no size in %q", service, rollup)
		}
		t.Logf("%s: %.1f MiB", service, float64(kilobytes)/1024)
		total += kilobytes
	}
	t.Logf("together: %.1f MiB", float64(total)/1024)
	if total > limit {
		t.Errorf("the sidecars have %d KiB, want %d or less", total, limit)
	}
	lab.must("stop", "--discard", slug)
}
