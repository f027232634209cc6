//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever is killed, the agent's home and workspace come back as they were. A
// reboot of the host is reboot_test.go's.
func TestCrashesLoseNothing(t *testing.T) {
	u := newUser(t)
	writeFile(t, filepath.Join(u.cwd, "project", "file"), "of the workspace\n")
	u.bottle("fixer", `[bash, -c, 'while read -r line; do echo "heard $line"; done; sleep infinity']`, "")
	slug := u.start("fixer", "--cwd")
	if r := u.inside(slug, "head -c 300000 /dev/urandom > ~/data && echo changed >> ~/workspace/project/file && ln -s data ~/link && chmod 711 ~/data"); r.status != 0 {
		t.Fatal(r)
	}
	before := u.inside(slug, everything)
	same := func(after string) {
		t.Helper()
		if r := u.inside(slug, everything); r.status != 0 || r.stdout != before.stdout {
			t.Errorf("after %s: %v\nbefore: %v", after, r, before)
		}
	}
	stillRuns := func(after string) {
		t.Helper()
		if r := u.run("resume", slug, "--detach", "--yes"); r.status != 125 || !strings.Contains(r.stderr, "podbottle attach "+slug) {
			t.Errorf("resumed beside its own agent after %s: %v", after, r)
		}
		same(after)
	}

	attached, _ := attach(t, u, slug)
	if err := attached.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = attached.Wait()
	stillRuns("podbottle was killed")

	// A session that hears of it says that nothing is lost.
	attached, said := attach(t, u, slug)
	command{argv: []string{"systemctl", "--user", "kill", "--kill-whom=main", "--signal=KILL", "podman.service"}}.succeed(t)
	_ = attached.Wait()
	if status := attached.ProcessState.ExitCode(); status != 125 || !strings.Contains(said.String(), "come back with: podbottle attach "+slug) {
		t.Errorf("the attached session ended with status %d: %s", status, said)
	}
	stillRuns("Podman's service was killed")

	podman(t, "kill", "--signal=KILL", "bot-bottle-"+slug)
	eventually(t, "the agent is dead", func() bool {
		return u.must("list", "--format", "{{.Status}}") == "stopped"
	})
	u.must("cleanup", "--yes") // takes the pod away and keeps what it held
	u.must("resume", slug, "--detach", "--yes")
	same("the agent was killed")

	for _, name := range []string{"", "-egress", "-pipelock", "-infra"} {
		pid := podman(t, "inspect", "--format", "{{.State.ConmonPid}}", "bot-bottle-"+slug+name)
		command{argv: []string{"kill", "-KILL", pid}}.succeed(t)
	}
	u.must("stop", slug)
	if err := os.RemoveAll(filepath.Join(u.cwd, "project")); err != nil {
		t.Fatal(err)
	}
	u.must("resume", slug, "--detach", "--yes")
	same("every conmon was killed and the host's directory was removed")
}

// attach attaches to an agent that answers lines with "heard", and returns once it
// has, with what podbottle says on standard error.
func attach(t *testing.T, u *user, slug string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	cmd := exec.Command("podbottle", "attach", slug)
	cmd.Env = append(os.Environ(), "BOT_BOTTLE_ROOT="+u.root)
	var said bytes.Buffer
	cmd.Stderr = &said
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		_, err = io.WriteString(stdin, "anybody\n")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // for a test that ends early
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for scanner := bufio.NewScanner(stdout); scanner.Scan(); {
		if strings.Contains(scanner.Text(), "heard anybody") {
			return cmd, &said
		}
	}
	_ = cmd.Wait()
	t.Fatalf("the agent is not heard: %v %s", cmd.ProcessState, &said)
	return nil, nil
}
