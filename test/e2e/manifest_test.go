//go:build e2e

package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What the operator of TestEveryKey has and types; no file may hold it.
const (
	everyForwarded = "forwarded-s3cret"
	everyAsked     = "asked-s3cret"
	everyToken     = "token-s3cret"
)

const everyBase = `---
label: of-base
env: {LEVEL: base, KEPT: from base}
agent_provider: {template: command, image: replaced, command: [replaced]}
egress: {routes: [{host: replaced.test}]}
supervise: true
git-gate: {user: {name: Base, email: base@example.org}}
---
`

const everyBottle = `---
extends: base
env:
  LEVEL: debug
  PORT: 8080
  FORWARDED: ${HOST_VALUE}
  ASKED: "?what to ask"
agent_provider:
  template: command
  image: %s
  command: [bash]
git-gate:
  user: {name: Bottle}
  repos:
    tools:
      url: ssh://git@git.upstream.test:2222/team/tools.git
      identity: %s
      host_key: %s
      refs: [refs/heads/agent/*]
      allow_force: true
      allow_delete: true
      lfs: true
egress:
  routes:
    - host: API.upstream.test.
      path_allowlist: [/v1/]
      matches: [{paths: [{type: exact, value: /v1/x}], methods: [get], headers: [{name: X-Team, value: a}]}]
      auth: {scheme: header, header: x-api-key, token_ref: E2E_TOKEN}
      pipelock: {tls_passthrough: true, ssrf_ip_allowlist: [203.0.113.0/24]}
      git: {fetch: true}
      reflection: allow
---
`

// everyLook prints what the agent finds of the manifest, and leaves with status 3.
const everyLook = `
echo "env: $LEVEL,$KEPT,$PORT,$FORWARDED,$ASKED"
echo "token: ${E2E_TOKEN-none}"
echo "identity: $(git config user.name) $(git config user.email)"
echo "remote: $(git ls-remote --get-url ssh://git@git.upstream.test:2222/team/tools.git)"
echo "prompt: $(cat ~/.bot-bottle-prompt.txt)"
echo "skill: $(cat ~/.claude/skills/e2e-skill/SKILL.md)"
echo "workspace: $(pwd): $(ls -A | paste -sd ,)"
echo kept > ~/result
exit 3
`

// TestEveryKey starts a bottle that uses every key, looks at it from inside, and
// resumes it after a status other than zero. Its state is the documented tree.
func TestEveryKey(t *testing.T) {
	leavesNothing(t)
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	skill := filepath.Join(home, ".claude", "skills", "e2e-skill")
	writeFile(t, filepath.Join(skill, "SKILL.md"), "a skill")
	t.Cleanup(func() {
		if err := os.RemoveAll(skill); err != nil {
			t.Error(err)
		}
	})
	key := filepath.Join(t.TempDir(), "key")
	command{argv: []string{"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key}}.succeed(t)
	public := strings.Join(strings.Fields(readFile(t, key+".pub"))[:2], " ")
	tr := newTree(t, map[string]string{
		"config.yaml":     "firewall: {engine: builtin}\nimages: {git_gate_base: localhost/podbottle-test-git:latest}\n",
		"bottles/base.md": everyBase,
		"bottles/all.md":  fmt.Sprintf(everyBottle, agentImage, key, public),
		"agents/fixer.md": "---\nname: fixer\ndescription: for Claude Code\nbottle: all\nskills: [e2e-skill]\nlabel: of-agent\ngit: {user: {name: Agent}}\n---\nDo what is asked.\n",
	})
	tr.env = []string{"HOST_VALUE=" + everyForwarded, "E2E_TOKEN=" + everyToken}
	t.Cleanup(func() { tr.podbottle("cleanup", "--all", "--yes").succeed(t) })
	writeFile(t, filepath.Join(tr.cwd, "taken.txt"), "1")
	writeFile(t, filepath.Join(tr.cwd, "left.log"), "1")
	writeFile(t, filepath.Join(tr.cwd, ".containerignore"), "*.log\n")
	if err := os.Symlink(key, filepath.Join(tr.cwd, "out")); err != nil {
		t.Fatal(err)
	}

	r := onTerminal(tr, everyAsked, everyLook, "podbottle start fixer --cwd --yes --headless").run(t)
	if r.status != 3 {
		t.Fatalf("start ended with %d: %s%s", r.status, r.stdout, r.stderr)
	}
	for _, line := range []string{
		"env: debug,from base,8080," + everyForwarded + "," + everyAsked,
		"token: none",
		"identity: Agent base@example.org",
		"remote: git://git-gate/tools.git",
		"prompt: Do what is asked.",
		"skill: a skill",
		"workspace: /home/node/workspace: .containerignore,taken.txt",
	} {
		if !strings.Contains(r.stdout, line) {
			t.Errorf("%q is missing in what the agent sees:\n%s", line, r.stdout)
		}
	}
	slug := onlySlug(t, tr)
	compareState(t, tr, slug)

	r = onTerminal(tr, everyAsked, "cat ~/result; pwd", "podbottle resume "+slug+" --yes --headless").run(t)
	if r.status != 0 || !strings.Contains(r.stdout, "kept\r\n/home/node/workspace\r\n") {
		t.Errorf("resume ended with %d: %s%s", r.status, r.stdout, r.stderr)
	}
	if left, err := filepath.Glob(filepath.Join(tr.root, "state", "*")); err != nil || len(left) > 0 {
		t.Errorf("state is left after status 0: %v, %v", left, err)
	}
}

// onTerminal runs a headless podbottle command line on a terminal, where a
// variable can be typed in.
func onTerminal(tr *tree, typed, prompt, line string) command {
	c := tr.podbottle()
	c.argv = []string{"script", "--quiet", "--return", "--command", line + ` --prompt "$E2E_PROMPT"`, "/dev/null"}
	c.env = append(c.env, "E2E_PROMPT="+prompt)
	c.stdin = typed + "\n"
	return c
}

// onlySlug is the one bottle that has a state.
func onlySlug(t *testing.T, tr *tree) string {
	t.Helper()
	states, err := filepath.Glob(filepath.Join(tr.root, "state", "*"))
	if err != nil || len(states) != 1 {
		t.Fatalf("states: %v, %v", states, err)
	}
	return filepath.Base(states[0])
}

// compareState compares a preserved bottle's state with docs/manifest.md, and
// looks for secrets in it. What sidecars write (data) is theirs.
func compareState(t *testing.T, tr *tree, slug string) {
	t.Helper()
	var got []string
	dir := filepath.Join(tr.root, "state", slug)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if d.Name() == "data" {
			return fs.SkipDir
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		got = append(got, fmt.Sprintf("%v %s", info.Mode(), rel))
		if d.IsDir() {
			return nil
		}
		for _, secret := range []string{everyForwarded, everyAsked, everyToken, "PRIVATE KEY"} {
			if strings.Contains(readFile(t, path), secret) {
				t.Errorf("%s holds %q", rel, secret)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"-rw------- .lock", "-rw------- .preserve", "-rw------- agent/agent.env", "-rw------- agent/prompt.txt",
		"-rw------- egress/routes.yaml", "-rw------- git-gate/git-gate.yaml", "-rw------- git-gate/known_hosts",
		"-rw------- metadata.json", "-rw------- pipelock/pipelock.yaml", "-rw------- pipelock/ranges.yaml", "-rw------- plan.json",
		"-rw------- supervise/current-config/Dockerfile", "drwx------ .", "drwx------ agent", "drwx------ egress",
		"drwx------ git-gate", "drwx------ pipelock", "drwx------ supervise", "drwx------ supervise/current-config",
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the state is not the documented tree (-want +got):\n%s", diff)
	}
}
