//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestGitOfUnits pushes through the git-gate of a bottle that is installed as units.
func TestGitOfUnits(t *testing.T) {
	const name = "e2e-coder"
	lab := &gitLab{user: newUser(t), remote: startSSHD(t), slug: name}
	if err := lab.remote.Create("app"); err != nil {
		t.Fatal(err)
	}
	lab.write("config.yaml", gitConfig)
	lab.bottle("worker", "[bash]", fmt.Sprintf("git-gate:\n  user: {name: A Person, email: person@example.org}\n  repos:\n    app: {url: '%s', identity: '%s', host_key: %s}\n",
		lab.url("app"), lab.remote.Path("client"), lab.hostKey("host")))
	lab.install(t, name, "--now")

	t.Run("clone and push", lab.testFlow)
	t.Run("a secret does not leave", func(t *testing.T) {
		lab.refused(t, `cd app && echo "key=$k$l" > f && git add f && git commit -qm x && git push origin HEAD:leak`,
			"push refused; nothing of it went to git.upstream.test", "aws-access-token in f, line 1")
		wants(t, lab.must("git", name), "app", "git.upstream.test", "aws-access-token")
	})
	t.Run("the gate comes back", func(t *testing.T) {
		container := "bot-bottle-" + name + "-git-gate"
		before := podman(t, "inspect", container, "--format", "{{.State.Pid}}")
		command{argv: []string{"kill", "-KILL", before}}.succeed(t)
		eventually(t, "the gate serves again", func() bool { return lab.in(name, "cd app && git fetch -q").status == 0 })
		lab.agent(t, "cd app && git reset -q --hard origin/main && git commit -q --allow-empty -m again && git push -q origin HEAD:again")
		wants(t, lab.refs("app"), "refs/heads/again")
	})
	t.Run("the key is nowhere", func(t *testing.T) { lab.checkUnitKey(t) })
}

// checkUnitKey looks for the private key wherever somebody but git-gate could see it.
func (l *gitLab) checkUnitKey(t *testing.T) {
	line := strings.Split(readFile(t, l.remote.Path("client")), "\n")[2] // of base64: the first line is the same in all keys
	if len(line) < 40 {
		t.Fatalf("the key's line is %q", line)
	}
	const inGate = "bot-bottle-e2e-coder-git-gate"
	// The control: the gate has it.
	if got := podman(t, "exec", inGate, "cat", "/run/podbottle/secrets/identities/app"); !strings.Contains(got, line) {
		t.Error("the key is not where the gate looks for it")
	}
	if r := l.input(line+"\n", "exec", l.slug, "--", "bash", "-c", searchAgent); strings.TrimSpace(r.stdout) != "0" {
		t.Errorf("in the agent: %v", r)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{
		"podman inspect": inspections(t, l.slug),
		"the journal":    command{argv: []string{"journalctl", "--user", "--quiet", "--output=export"}}.succeed(t),
		"a command line": command{argv: []string{"bash", "-c", `cat /proc/[0-9]*/cmdline | tr '\0' ' '`}}.run(t).stdout,
		"quadlet":        l.must("quadlet", "generate", "worker", "--name", "e2e-other") + l.must("quadlet", "logs", l.slug, "--lines", "1000"),
	}
	wants(t, texts["the journal"], `"landed"`, "CONTAINER_TAG="+l.slug) // the control
	for _, dir := range []string{filepath.Join(home, ".config"), l.root, filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "systemd"), filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "podbottle")} {
		texts[dir] = command{argv: []string{"grep", "-rshF", "--", line, dir}}.run(t).stdout
	}
	for name, text := range texts {
		if strings.Contains(text, line) || strings.Contains(text, leaked[0]+leaked[1]) {
			t.Errorf("a secret is in %s", name)
		}
	}
	if got := lines(podman(t, "secret", "ls", "--format", "{{.Name}}")); !slices.Contains(got, "bot-bottle-e2e-coder-git-gate-identities-app") {
		t.Errorf("Podman's secrets are %q", got)
	}
}
