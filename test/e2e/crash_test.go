//go:build e2e

package e2e

import (
	"bufio"
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
	u.bottle("fixer", `[bash, -c, 'while read -r line; do echo "heard $line"; done; sleep 600']`, "")
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

	attached := exec.Command("podbottle", "attach", slug)
	attached.Env = append(os.Environ(), "BOT_BOTTLE_ROOT="+u.root)
	stdin, err := attached.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := attached.StdoutPipe()
	if err == nil {
		err = attached.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(stdin, "anybody\n"); err != nil {
		t.Fatal(err)
	}
	for scanner := bufio.NewScanner(stdout); scanner.Scan() && !strings.Contains(scanner.Text(), "heard anybody"); {
	}
	if err := attached.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = attached.Wait()
	stillRuns("podbottle was killed")

	// A session that hears of it says that nothing is lost.
	lost := make(chan result, 1)
	cmd := u.podbottle("attach", slug)
	go func() { lost <- cmd.run(t) }()
	eventually(t, "Podman's service is killed while it is used", func() bool {
		_ = exec.Command("systemctl", "--user", "kill", "--kill-whom=main", "--signal=KILL", "podman.service").Run()
		select {
		case r := <-lost:
			lost <- r
			return true
		default:
			return false
		}
	})
	if r := <-lost; r.status != 125 || !strings.Contains(r.stderr, slug) {
		t.Errorf("the attached session: %v", r)
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
