//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestHeadless(t *testing.T) {
	u := newUser(t)
	u.bottle("fixer", "[bash]", "")
	r := u.run("start", "fixer", "--headless", "--prompt", "echo answer; echo aside >&2", "--yes")
	if r.status != 0 || r.stdout != "answer\n" {
		t.Errorf("standard output is more or less than the agent's answer: %v", r)
	}
	wants(t, r.stderr, "aside", "agent", "command   bash\n", "runsc")
	if r := u.input("echo from stdin; exit 4", "start", "fixer", "--headless", "--prompt", "-", "--yes"); r.status != 4 || r.stdout != "from stdin\n" {
		t.Errorf("prompt from standard input: %v", r)
	}
}

func TestExitZeroRemovesEverything(t *testing.T) {
	u := newUser(t)
	u.bottle("fixer", "[bash]", "")
	before := hostObjects(t)
	u.must("start", "fixer", "--headless", "--prompt", "touch made; exit 0", "--yes")
	u.nothingLeft(before)
}

func TestAnotherStatusKeepsTheStateForResume(t *testing.T) {
	u := newUser(t)
	u.bottle("fixer", "[bash]", "")
	r := u.run("start", "fixer", "--headless", "--prompt", "echo work > result; exit 3", "--yes")
	if r.status != 3 {
		t.Fatalf("the agent's status is not podbottle's: %v", r)
	}
	slug := u.states()[0]
	wants(t, r.stderr, "podbottle resume "+slug)
	if _, err := os.Stat(filepath.Join(u.root, "state", slug, ".preserve")); err != nil {
		t.Error(err)
	}
	wants(t, u.must("list", "--all"), slug, "kept")
	u.must("cleanup", "--yes") // spares what is kept
	if r := u.run("resume", slug, "--headless", "--prompt", "cat result", "--yes"); r.status != 0 || r.stdout != "work\n" {
		t.Errorf("the agent's home is not as it was: %v", r)
	}
	if states := u.states(); len(states) > 0 {
		t.Errorf("state of %v is left after status 0", states)
	}
}

func TestDetachedBottle(t *testing.T) {
	u := newUser(t)
	u.bottle("fixer", "[bash, -c, 'echo started; printf \"\\033[31mred\\033[0m\\n\"; sleep infinity']", "")
	slug := u.start("fixer")
	var listed []struct{ Slug, Status, Runtime, Firewall string }
	if err := json.Unmarshal([]byte(u.must("list", "--format", "json")), &listed); err != nil {
		t.Fatal(err)
	}
	if len(listed) != 1 || listed[0].Slug != slug || listed[0].Status != "running" || listed[0].Runtime != "runsc" || listed[0].Firewall != "builtin" {
		t.Errorf("list: %+v", listed)
	}
	if got := u.must("list", "--format", "{{.Slug}} {{.Agent}}"); got != slug+" fixer" {
		t.Errorf("template: %q", got)
	}
	if r := u.run("exec", slug, "--", "bash", "-c", "exit 9"); r.status != 9 {
		t.Errorf("exec: %v", r)
	}
	for program, status := range map[string]int{"no-such-program": 127, "/etc/passwd": 126} {
		if r := u.run("exec", slug, "--", program); r.status != status || !strings.Contains(r.stderr, program) {
			t.Errorf("exec of %s: %v", program, r)
		}
	}
	// What a command leaves of its input unread takes nothing of its output along.
	unread := strings.Repeat("0123456789abcdef\n", 1<<16)
	for range 20 {
		if r := u.input(unread, "exec", slug, "--", "bash", "-c", "echo out; exit 5"); r.status != 5 || r.stdout != "out\n" || r.stderr != "" {
			t.Fatalf("exec with input that is not read: %v", r)
		}
	}
	if r := u.input(unread, "exec", slug, "--", "cat"); r.status != 0 || r.stdout != unread {
		t.Errorf("exec passes %d of %d bytes through, status %d %s", len(r.stdout), len(unread), r.status, r.stderr)
	}
	var logs string
	eventually(t, "the agent's output is in the log", func() bool {
		logs = u.must("logs", slug)
		return strings.Contains(logs, "<ESC>[31mred")
	})
	wants(t, logs, "started")
	if strings.Contains(logs, "\x1b") {
		t.Error("a terminal escape of the agent reaches the user's terminal")
	}
	if last := u.must("logs", "--tail", "1", slug); last == "" || strings.Contains(last, "\n") || !strings.HasSuffix(logs, last) {
		t.Errorf("the last line of %q is %q", logs, last)
	}
	if got := u.must("logs", "--since", "1h", slug); got != logs {
		t.Errorf("of the last hour: %q", got)
	}
	time.Sleep(1100 * time.Millisecond) // what is in the log is older then
	if got := u.must("logs", "--since", "1s", slug); got != "" {
		t.Errorf("of the last second: %q", got)
	}
	if r := u.run("resume", slug, "--yes"); r.status != 125 {
		t.Errorf("a running bottle was resumed: %v", r)
	}
	wants(t, u.must("stop", slug), slug)
	wants(t, u.must("list", "--all"), "kept")
}

func TestTerminal(t *testing.T) {
	u := newUser(t)
	u.bottle("fixer", "[bash]", "")
	screen := newScreen(t, u)
	screen.run("podbottle start fixer; echo status=$?")
	screen.waitFor("Start this bottle? [y/N]")
	screen.send("y")
	screen.waitFor("node@fixer")
	screen.send("stty size")
	screen.waitFor("30 100")
	screen.tmux("resize-window", "-t", screen.name, "-x", "90", "-y", "25")
	screen.send("until stty size | grep -x '25 90'; do sleep 0.1; done")
	screen.waitFor("\n25 90")
	if r := u.run("cleanup", "--all", "--yes"); !strings.Contains(r.stderr, "Left alone: fixer-") || !strings.Contains(r.stderr, "podbottle stop fixer-") {
		t.Errorf("cleanup says nothing of the bottle that it left alone: %v", r)
	}
	screen.tmux("send-keys", "-t", screen.name, "C-p", "C-q")
	screen.waitFor("Detached from fixer-")
	screen.waitFor("status=0")
	slug := u.must("list", "-q")
	screen.run("podbottle attach " + slug + "; echo status=$?")
	screen.send("echo attached $((6*7))") // what is typed before it is attached waits for the agent
	screen.waitFor("attached 42")
	screen.send("exit 7")
	screen.waitFor("status=7")
	screen.waitFor("podbottle resume " + slug)
}

// The agent's keys are the agent's: ctrl-c ends what it runs, not podbottle.
func TestInterruptReachesTheAgent(t *testing.T) {
	u := newUser(t)
	u.bottle("fixer", "[bash]", "")
	screen := newScreen(t, u)
	screen.run("podbottle start fixer --yes --runtime crun; echo status=$?")
	screen.waitFor("node@fixer")
	screen.send("echo begun; sleep 1000")
	screen.waitFor("\nbegun")
	screen.tmux("send-keys", "-t", screen.name, "C-c")
	screen.send("echo interrupted $?")
	screen.waitFor("interrupted 130")
	screen.send("exit 0")
	screen.waitFor("status=0")
}

func TestNoIsTheDefault(t *testing.T) {
	u := newUser(t)
	u.bottle("fixer", "[bash]", "")
	screen := newScreen(t, u)
	for _, answer := range []string{"", "n", "yess"} {
		screen.run("podbottle start fixer; echo status=$?")
		screen.waitFor("Start this bottle? [y/N]")
		screen.send(answer)
		screen.waitFor("status=125")
	}
	if states := u.states(); len(states) > 0 {
		t.Errorf("state of %v is left", states)
	}
}

// screen is a shell in tmux.
type screen struct {
	t    *testing.T
	name string
}

func newScreen(t *testing.T, u *user) *screen {
	t.Helper()
	s := &screen{t: t, name: "e2e"}
	cmd := exec.Command("tmux", "new-session", "-d", "-s", s.name, "-x", "100", "-y", "30", "bash --norc")
	cmd.Env = append(append(os.Environ(), u.podbottle().env...), "TERM=xterm-256color", "PS1=$ ")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tmux: %v %s", err, out)
	}
	t.Cleanup(s.close)
	return s
}

// close hangs up and waits for what ran in the shell: a podbottle takes the bottle
// of its session down then, and whoever looks at the host has to look afterwards.
func (s *screen) close() {
	s.t.Helper()
	pids := strings.Fields(s.tmux("list-panes", "-t", s.name, "-F", "#{pane_pid} #{pid}")) // the shell and the server
	children, _ := exec.Command("pgrep", "--parent", pids[0]).Output()                     // status 1: there are none
	s.tmux("kill-server")
	for _, pid := range append(pids, strings.Fields(string(children))...) {
		eventually(s.t, "the process "+pid+" of the screen ends", func() bool {
			return exec.Command("kill", "-0", pid).Run() != nil
		})
	}
}

func (s *screen) tmux(args ...string) string {
	s.t.Helper()
	out, err := exec.Command("tmux", args...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("tmux %v: %v %s", args, err, out)
	}
	return string(out)
}

// send types a line.
func (s *screen) send(line string) {
	s.t.Helper()
	s.tmux("send-keys", "-t", s.name, "--", line, "Enter")
}

// run types a line at the shell's prompt, on an empty screen: what waitFor finds is not
// of the line before.
func (s *screen) run(line string) {
	s.t.Helper()
	s.tmux("send-keys", "-R", "-t", s.name)
	s.send(line)
}

// waitFor waits until the screen shows text. What is typed is shown too, so the text has
// to be another: status=0 for the line that ends with status=$?, or one that begins a line.
func (s *screen) waitFor(text string) {
	s.t.Helper()
	var shown string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if shown = s.tmux("capture-pane", "-p", "-t", s.name); strings.Contains("\n"+shown, text) {
			return
		}
	}
	s.t.Fatalf("%q does not appear:\n%s", text, shown)
}

func TestTenAtOnce(t *testing.T) {
	u := newUser(t)
	u.bottle("fixer", "[bash]", "")
	var starts []*running
	for range 10 {
		starts = append(starts, u.podbottle("start", "fixer", "--detach", "--yes").start(t))
	}
	var slugs []string
	for _, start := range starts {
		r := start.wait()
		if r.status != 0 {
			t.Errorf("one of ten: %v", r)
		}
		slugs = append(slugs, strings.TrimSpace(r.stdout))
	}
	if t.Failed() {
		return
	}
	slices.Sort(slugs)
	if len(slices.Compact(slices.Clone(slugs))) != 10 {
		t.Errorf("slugs are not distinct: %v", slugs)
	}
	u.must(append([]string{"stop", "--discard"}, slugs...)...)
	if got := u.must("list", "--all", "-q"); got != "" {
		t.Errorf("left: %s", got)
	}
}

func TestASignalDuringTheStartLeavesNothing(t *testing.T) {
	u := newUser(t)
	u.bottle("fixer", "[bash]", "")
	before := hostObjects(t)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		for _, after := range []time.Duration{100, 300, 500, 800} {
			t.Run(fmt.Sprintf("%v after %dms", sig, after), func(t *testing.T) {
				start := u.podbottle("start", "fixer", "--detach", "--yes").start(t)
				time.Sleep(after * time.Millisecond) // wherever it is by then
				_ = start.cmd.Process.Signal(sig)
				switch code := start.wait().status; code {
				case 0: // it was faster than the signal
					u.must(append([]string{"stop", "--discard"}, u.states()...)...)
				case -1: // the signal was faster than the program
				case 128 + int(sig):
				default:
					t.Errorf("status %d, want %d", code, 128+int(sig))
				}
				u.nothingLeft(before)
			})
		}
	}
}

func TestCleanupAfterACrash(t *testing.T) {
	u := newUser(t)
	u.bottle("fixer", "[bash]", "")
	before := hostObjects(t)
	start := u.podbottle("start", "fixer", "--detach", "--yes").start(t)
	// It is held while one looks for the pod, so that it is not done before it is killed.
	for thereIs := false; !thereIs; time.Sleep(20 * time.Millisecond) {
		_ = start.cmd.Process.Signal(syscall.SIGSTOP)
		if start.ended() {
			t.Fatalf("the start was not caught: %v", start.wait())
		}
		if thereIs = podman(t, "pod", "ps", "--quiet") != ""; thereIs {
			_ = start.cmd.Process.Kill()
		}
		_ = start.cmd.Process.Signal(syscall.SIGCONT)
	}
	start.wait()
	r := u.run("cleanup", "--dry-run", "--all")
	wants(t, r.stderr, "network bot-bottle-fixer", "state of fixer")
	if r := u.run("cleanup", "--all"); r.status != 125 {
		t.Errorf("cleanup without a terminal and without --yes: %v", r)
	}
	u.must("cleanup", "--all", "--yes")
	u.nothingLeft(before)
}

// An agent that ended with nobody there may have left work: cleanup keeps it.
func TestCleanupKeepsTheWorkOfADetachedAgent(t *testing.T) {
	u := newUser(t)
	u.bottle("fixer", "[bash, -c, 'echo work > result; exit 3']", "")
	slug := u.start("fixer")
	eventually(t, "the agent has ended", func() bool { return strings.Contains(u.must("list"), "stopped") })
	u.must("cleanup", "--yes")
	if got := u.must("list", "-q"); got != "" {
		t.Errorf("cleanup left the pod of %s", got)
	}
	wants(t, u.must("list", "--all"), slug, "kept")
	u.bottle("fixer", "[bash]", "")
	if r := u.run("resume", slug, "--headless", "--prompt", "cat result", "--yes"); r.stdout != "work\n" {
		t.Errorf("the work is gone: %v", r)
	}
}

func TestWorkspace(t *testing.T) {
	u := newUser(t)
	u.bottle("fixer", "[bash]", "")
	dir := t.TempDir()
	for name, text := range map[string]string{"kept": "kept text", "ignored": "x", ".containerignore": "ignored\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "escape")); err != nil {
		t.Fatal(err)
	}
	cmd := u.podbottle("start", "fixer", "--cwd", "--headless", "--prompt", "pwd; cat kept; ls -A; touch mine && stat -c %U mine", "--yes")
	cmd.dir = dir
	r := cmd.run(t)
	if r.status != 0 {
		t.Fatal(r)
	}
	wants(t, r.stdout, "/home/node/workspace", "kept text", "node")
	if strings.Contains(r.stdout, "ignored\n") || strings.Contains(r.stdout, "root:") {
		t.Errorf("an ignored or linked file was copied: %v", r)
	}
	wants(t, r.stderr, "workspace", dir)

	// What the agent left is what it goes on with, whatever is in the directory by now.
	cmd = u.podbottle("start", "fixer", "--cwd", "--headless", "--prompt", "echo own > kept; exit 3", "--yes")
	cmd.dir = dir
	if r := cmd.run(t); r.status != 3 {
		t.Fatal(r)
	}
	writeFile(t, filepath.Join(dir, "later"), "x")
	r = u.run("resume", u.states()[0], "--headless", "--prompt", "cat kept; ls later", "--yes")
	if r.stdout != "own\n" || strings.Contains(r.stderr, "a copy of "+dir+":") {
		t.Errorf("resumed: %v", r)
	}
	wants(t, r.stderr, "workspace", "as it was left; it began as a copy of "+dir, "later")
}
