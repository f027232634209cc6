package notify

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/godbus/dbus/v5"

	"github.com/podbottle/podbottle/internal/supervise"
	"github.com/podbottle/podbottle/internal/visible"
)

// startBus runs a D-Bus daemon of the test's own as the session bus.
func startBus(t *testing.T) {
	t.Helper()
	cmd := exec.Command("dbus-daemon", "--session", "--nofork", "--nopidfile", "--address=unix:dir="+t.TempDir(), "--print-address")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v; install it with: hack/packages dbus-daemon dbus-daemon", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", strings.TrimSpace(address))
}

// notification is what a desktop is told to show.
type notification struct{ app, summary, body string }

// desktop is a notification service.
type desktop chan notification

// Notify is the method of the service's interface.
func (d desktop) Notify(app string, _ uint32, _, summary, body string, _ []string, _ map[string]dbus.Variant, _ int32) (uint32, *dbus.Error) {
	d <- notification{app, summary, body}
	return 1, nil
}

func startDesktop(t *testing.T) desktop {
	t.Helper()
	d := make(desktop, 10)
	serveDesktop(t, d)
	return d
}

// serveDesktop makes a service the desktop's.
func serveDesktop(t *testing.T, methods any) {
	t.Helper()
	conn, err := dbus.ConnectSessionBus()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.Export(methods, path, service); err != nil {
		t.Fatal(err)
	}
	if reply, err := conn.RequestName(service, dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatal(reply, err)
	}
}

// hostile is a proposal in which every text is the agent's.
func hostile() supervise.View {
	return supervise.View{
		Proposal: supervise.Proposal{Slug: "demo\u202e\x1b[2J", Justification: "press y\u009b2J\u202e"},
		Summary:  "Lets <b>everything</b> & \x1b]8;;https://evil.example\x07more\u202e pass\n" + strings.Repeat("<i>", 2000),
		Warnings: []string{},
	}
}

func TestDesktop(t *testing.T) {
	startBus(t)
	ctx := t.Context()
	d, err := NewDesktop(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Notify(ctx, hostile()); err == nil || !strings.Contains(err.Error(), service) {
		t.Errorf("nothing shows notifications, but: %v", err)
	}
	shown := startDesktop(t)
	if err := d.Notify(ctx, hostile()); err != nil {
		t.Fatal(err)
	}
	n := <-shown
	if n.app != "podbottle" || n.summary != "podbottle: demo<U+202E><ESC>[2J asks" {
		t.Errorf("%q shows %q", n.app, n.summary)
	}
	first, rest, _ := strings.Cut(n.body, "\n")
	if rest != "podbottle supervise" || !visible.Clean(first) {
		t.Errorf("the body is %q", n.body)
	}
	if !strings.HasPrefix(first, "Lets &lt;b&gt;everything&lt;/b&gt; &amp; &lt;ESC&gt;]8;;https://evil.example") || strings.ContainsAny(first, "<>") {
		t.Errorf("the service would take it for markup: %q", first)
	}
	plain := strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(first)
	if !strings.HasSuffix(first, "…") || utf8.RuneCountInString(plain) != maxBody {
		t.Errorf("%d characters: %q", utf8.RuneCountInString(plain), first)
	}
	if strings.Contains(n.body, "press") {
		t.Errorf("the agent's own words are in %q", n.body)
	}
}

// silent is a notification service that answers when the test ends.
type silent struct{ until <-chan struct{} }

// Notify is the method of the service's interface.
func (s silent) Notify(string, uint32, string, string, string, []string, map[string]dbus.Variant, int32) (uint32, *dbus.Error) {
	<-s.until
	return 1, nil
}

func TestDesktopThatHangs(t *testing.T) {
	startBus(t)
	d, err := NewDesktop(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	serveDesktop(t, silent{t.Context().Done()})
	d.patience = 50 * time.Millisecond
	if err := d.Notify(t.Context(), hostile()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestNoDesktop(t *testing.T) {
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+filepath.Join(t.TempDir(), "nothing"))
	if _, err := NewDesktop(t.Context()); err == nil || !strings.Contains(err.Error(), "no desktop to notify") {
		t.Errorf("without a bus: %v", err)
	}
}

func TestHook(t *testing.T) {
	file := filepath.Join(t.TempDir(), "seen")
	t.Setenv("FILE", file)
	v := hostile()
	if err := Hook(t.Context(), `{ cat; tr '\0' '\n' </proc/$$/cmdline; env; } >"$FILE"`, v); err != nil {
		t.Fatal(err)
	}
	seen, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text, around, _ := strings.Cut(string(seen), "\n")
	var got supervise.View
	if err := json.Unmarshal([]byte(text), &got); err != nil || got.Proposal.Justification != v.Proposal.Justification || got.Summary != v.Summary {
		t.Errorf("%v: %s", err, text)
	}
	if !visible.Clean(text) {
		t.Errorf("a terminal would act upon %q", text)
	}
	if !strings.Contains(around, "FILE=") || strings.Contains(around, "press") || strings.Contains(around, "everything") {
		t.Errorf("the agent's words are in the arguments or the environment: %s", around)
	}
}

func TestHookThatFails(t *testing.T) {
	err := Hook(t.Context(), "echo out; echo why >&2; exit 3", hostile())
	if err == nil || !strings.Contains(err.Error(), "exit status 3\nout\nwhy") {
		t.Errorf("%v", err)
	}
	if err := Hook(t.Context(), "exit 0", hostile()); err != nil {
		t.Errorf("one that does not read: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Hook(ctx, "sleep 1000", hostile()); err == nil {
		t.Error("one that was to end is taken for well")
	}
}

// TestHookIsEnded wants nothing of a hook to run when its time is over.
func TestHookIsEnded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	t.Setenv("FILE", file)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Hook(ctx, `sleep 1000 & echo $! >"$FILE"; wait`, hostile()) }()
	var pid int
	for deadline := time.Now().Add(2 * time.Minute); pid == 0 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if text, err := os.ReadFile(file); err == nil {
			pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		}
	}
	cancel()
	if err := <-done; err == nil || pid == 0 {
		t.Fatalf("%v, process %d", err, pid)
	}
	for deadline := time.Now().Add(2 * time.Minute); syscall.Kill(pid, 0) == nil; time.Sleep(time.Millisecond) {
		// Where nobody reaps it, it is a zombie.
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && strings.Contains(string(stat), ") Z ") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("what the hook has started goes on")
		}
	}
}

// TestHookLeavesSomethingRunning would wait for it, since it has the hook's output.
func TestHookLeavesSomethingRunning(t *testing.T) {
	done := make(chan error, 1)
	file := filepath.Join(t.TempDir(), "pid")
	t.Setenv("FILE", file)
	go func() { done <- Hook(t.Context(), `sleep 1000 & echo $! >"$FILE"`, hostile()) }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(2 * time.Minute):
		t.Error("the hook is waited for")
	}
	if err := exec.Command("sh", "-c", `kill "$(cat "$FILE")"`).Run(); err != nil {
		t.Errorf("it was ended too: %v", err)
	}
}
