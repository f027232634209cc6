//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/podbottle/podbottle/internal/audit"
	"github.com/podbottle/podbottle/internal/sshdtest"
)

// gitImage has git and ssh, which is what git-gate's own image is built on.
// hack/testhost loads it.
const gitImage = "localhost/podbottle-test-git:latest"

// gitConfig is the config.yaml of users whose bottles have remotes.
const gitConfig = "firewall: {engine: builtin}\nimages: {git_gate_base: '" + gitImage + "'}\n"

// leaked is a made-up key of the form that gitleaks' rule aws-access-token wants,
// in two parts, as the agents put it together: no scanner of this repository and no
// test that looks for it finds more than it should.
var leaked = [2]string{"AKIA", "QYLPMN5HHHFPZAM2"}

// declared is how many remotes the bottles of TestGit have.
const declared = 50

// gitLab is a real sshd on the test host's internet, and a user with bottles that
// declare its repositories.
type gitLab struct {
	*user
	remote *sshdtest.Server
	slug   string // of the first bottle
}

// newGitLab makes the repositories app, free and changed, and bottles that declare
// them: app as it comes, free with forced pushes and deletions, changed with a host
// key that is not the server's, unpinned with none, and further ones up to declared.
func newGitLab(t *testing.T) *gitLab {
	t.Helper()
	u := newUser(t)
	remote := startSSHD(t)
	lab := &gitLab{user: u, remote: remote}
	hostKey, otherKey := lab.hostKey("host"), lab.hostKey("stranger")
	var repos strings.Builder
	declare := func(name, more string) {
		fmt.Fprintf(&repos, "    %s: {url: '%s', identity: '%s'%s}\n", name, lab.url(name), remote.Path("client"), more)
	}
	pinned := ", host_key: " + hostKey
	declare("app", pinned)
	declare("free", pinned+", allow_force: true, allow_delete: true")
	declare("changed", ", host_key: "+otherKey)
	declare("unpinned", "")
	for i := 4; i < declared; i++ {
		declare(fmt.Sprintf("further-%d", i), pinned)
	}
	for _, name := range []string{"app", "free", "further-49"} {
		if err := remote.Create(name); err != nil {
			t.Fatal(err)
		}
	}
	u.write("config.yaml", gitConfig)
	u.bottle("coder", "[bash]", "git-gate:\n  user: {name: A Person, email: person@example.org}\n  repos:\n"+repos.String())
	lab.slug = u.start("coder", "--require-runsc")
	return lab
}

// startSSHD serves git repositories on the test host's internet until the test ends.
func startSSHD(t *testing.T) *sshdtest.Server {
	t.Helper()
	remote, err := sshdtest.Start(t.TempDir(), netip.MustParseAddrPort(upstreamIP+":2222"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(remote.Stop)
	return remote
}

func (l *gitLab) hostKey(name string) string {
	l.t.Helper()
	key, err := l.remote.HostKey(name)
	if err != nil {
		l.t.Fatal(err)
	}
	return key
}

// url is a repository's, as the bottle declares it.
func (l *gitLab) url(name string) string {
	return fmt.Sprintf("ssh://%s@git.upstream.test:%d%s", l.remote.User, l.remote.Addr.Port(), l.remote.RepositoryPath(name))
}

// refs are a repository's at the remote.
func (l *gitLab) refs(name string) string { return l.git(name+".git", "for-each-ref") }

// git runs git at the remote.
func (l *gitLab) git(dir string, args ...string) string {
	l.t.Helper()
	out, err := l.remote.Git(dir, args...)
	if err != nil {
		l.t.Fatal(err)
	}
	return out
}

// connections counts the TCP connections that sshd has seen.
func (l *gitLab) connections() int {
	return strings.Count(l.remote.Log(), "Connection from ")
}

// agent runs a script in the first bottle that must succeed, and returns what it
// printed on both streams. The script knows the declared URL of a repository as
// $(url NAME) and the two parts of leaked as $k and $l.
func (l *gitLab) agent(t *testing.T, script string) string {
	t.Helper()
	r := l.in(l.slug, script)
	if r.status != 0 {
		t.Fatalf("%s: %v", script, r)
	}
	return r.stdout
}

func (l *gitLab) in(slug, script string) result {
	l.t.Helper()
	return l.script(slug, script).run(l.t)
}

// script is the command that runs a script in a bottle.
func (l *gitLab) script(slug, script string) command {
	prelude := fmt.Sprintf("exec 2>&1; set -e; cd ~; k=%s l=%s; url() { echo '%s' | sed \"s/NAME/$1/\"; }\n", leaked[0], leaked[1], l.url("NAME"))
	return l.podbottle("exec", slug, "--", "bash", "-c", prelude+script)
}

// refused runs a script in the first bottle that must fail and say each part,
// without a byte to the remote.
func (l *gitLab) refused(t *testing.T, script string, says ...string) {
	t.Helper()
	refs, connections := l.refs("app"), l.connections()
	r := l.in(l.slug, script)
	if r.status == 0 {
		t.Errorf("not refused: %s: %v", script, r)
	}
	wants(t, r.stdout, says...)
	if now := l.refs("app"); now != refs {
		t.Errorf("the remote has changed from\n%s\nto\n%s", refs, now)
	}
	if now := l.connections(); now != connections {
		t.Errorf("the remote has seen %d connections", now-connections)
	}
}

// TestGit shares its bottles among the tests, in their order: starting one costs
// more than most of what is tested.
func TestGit(t *testing.T) {
	lab := newGitLab(t)
	t.Run("clone, fetch and push", lab.testFlow)
	t.Run("a secret does not leave", lab.testSecrets)
	t.Run("policy", lab.testPolicy)
	t.Run("host keys", lab.testHostKeys)
	t.Run("many repositories", lab.testMany)
	t.Run("remote down", lab.testDown)
	t.Run("a large push", lab.testLarge)
	t.Run("two bottles at once", lab.testTwoBottles)
	t.Run("an operator lets one push through", lab.testAllow)
	t.Run("the key is nowhere", lab.testKey)
}

func (l *gitLab) testFlow(t *testing.T) {
	l.agent(t, `git clone -q "$(url app)" app`)
	l.commit(t, "app", "outside", "from outside\n")
	wants(t, l.agent(t, "cd app && git pull -q && cat outside && git branch --show-current"), "from outside\nmain\n")
	l.agent(t, "cd app && echo work > work && git add work && git commit -qm work && git push -q origin HEAD:main")
	if got := l.git("app.git", "log", "-1", "--format=%s by %an <%ae>", "main"); got != "work by A Person <person@example.org>" {
		t.Errorf("the remote has %q", got)
	}
	r := l.in(l.slug, "git ls-remote git://git-gate/undeclared.git")
	if r.status == 0 {
		t.Errorf("an undeclared repository: %v", r)
	}
	wants(t, r.stdout, "no such repository")
}

func (l *gitLab) commit(t *testing.T, repository, file, content string) {
	t.Helper()
	if _, err := l.remote.Commit(repository, file, content, file); err != nil {
		t.Fatal(err)
	}
}

func (l *gitLab) testSecrets(t *testing.T) {
	const begin = "cd app && git reset -q --hard origin/main && git clean -qfd; commit() { git add -A && git commit -q --allow-empty -m \"$1\"; }\n"
	tests := []struct{ name, script, says string }{
		{"in a file", `echo "key=$k$l" > f; commit x; git push origin HEAD:leak`, "aws-access-token in f, line 1"},
		{"in a message", `commit "use $k$l"; git push origin HEAD:leak`, "aws-access-token in the commit message"},
		{"added and removed", `echo $k$l > f; commit x; rm f; commit y; git push origin HEAD:leak`, "aws-access-token in f"},
		{"in a tag", `git tag -am "$k$l" v1; git push origin v1`, "aws-access-token in the tag"},
		{"in a note", `git notes add -m "$k$l"; git push origin refs/notes/commits`, "aws-access-token in"},
		{"in base64", `echo "$k$l" | base64 > f; commit x; git push origin HEAD:leak`, "aws-access-token in f"},
		{"in a branch's name", `git push origin "HEAD:refs/heads/$k$l"`, "aws-access-token in the ref name"},
		{"for review", `echo $k$l > f; commit x; git push origin HEAD:refs/for/main`, "aws-access-token in f"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l.refused(t, begin+tt.script, "push refused; nothing of it went to git.upstream.test", tt.says)
		})
	}
}

func (l *gitLab) testPolicy(t *testing.T) {
	l.agent(t, `git clone -q "$(url free)" free; for r in app free; do (cd $r && git reset -q --hard origin/main && git push -q origin HEAD:side); done`)
	const rewrite = " && git commit -q --amend -m other && git push --force origin HEAD:side"
	l.refused(t, "cd app"+rewrite, "forced pushes are not allowed")
	l.refused(t, "cd app && git push origin :side", "deletions are not allowed")
	l.refused(t, "cd app && git push origin HEAD:refs/odd/place", "not among the refs that may be pushed")
	before := l.refs("free")
	l.agent(t, "cd free"+rewrite)
	if l.refs("free") == before {
		t.Error("the forced push did not land")
	}
	l.agent(t, "cd free && git push origin :side")
	if refs := l.refs("free"); strings.Contains(refs, "side") {
		t.Errorf("the deletion did not land: %s", refs)
	}
}

func (l *gitLab) testHostKeys(t *testing.T) {
	logins := l.remote.Logins()
	for name, says := range map[string]string{"changed": "not the one that is pinned", "unpinned": "no host key is pinned"} {
		for _, script := range []string{"git clone $(url %s) x-%[1]s", "cd app && git push $(url %s) HEAD:x"} {
			r := l.in(l.slug, fmt.Sprintf(script, name))
			if r.status == 0 {
				t.Errorf("%s: %v", name, r)
			}
			wants(t, r.stdout, says)
		}
	}
	if now := l.remote.Logins(); now != logins {
		t.Errorf("%d logins at a host whose key is not the pinned one", now-logins)
	}
}

func (l *gitLab) testMany(t *testing.T) {
	wants(t, l.agent(t, `git clone -q "$(url further-49)" last && cat last/README`), "hello")
	var status struct{ Repositories []struct{ Name string } }
	if err := json.Unmarshal([]byte(l.must("git", l.slug, "--format", "json")), &status); err != nil {
		t.Fatal(err)
	}
	if n := len(status.Repositories); n != declared {
		t.Errorf("podbottle git lists %d repositories", n)
	}
}

func (l *gitLab) testDown(t *testing.T) {
	l.remote.Stop()
	for _, script := range []string{"cd app && git fetch", "git clone $(url app) stale", "cd app && git ls-remote"} {
		r := l.in(l.slug, script)
		if r.status == 0 {
			t.Errorf("%s: %v", script, r)
		}
		wants(t, r.stdout, "git-gate cannot serve app from git.upstream.test:2222: ", "onnection refused")
	}
	if err := l.remote.Start(); err != nil {
		t.Fatal(err)
	}
	l.agent(t, "cd app && git fetch -q")
}

// testLarge pushes more than any buffer on the way holds, of random text: nothing
// of it can be compressed or skipped.
func (l *gitLab) testLarge(t *testing.T) {
	l.agent(t, `cd app && git reset -q --hard origin/main && head -c 3M /dev/urandom | base64 > large && head -c 4M /dev/urandom > large.bin
git add -A && git commit -qm large && git push -q origin HEAD:large`)
	if size := l.git("app.git", "cat-file", "-s", "large:large.bin"); size != "4194304" {
		t.Errorf("what landed has %s bytes", size)
	}
}

// testTwoBottles has two bottles push to branches of their own and, at the same
// time, to one that both want: there only one may win, and the other must be told.
func (l *gitLab) testTwoBottles(t *testing.T) {
	slugs := []string{l.slug, l.start("coder")}
	for i, slug := range slugs {
		script := fmt.Sprintf(`git clone -q "$(url app)" pair && cd pair && git commit -q --allow-empty -m "by %d"`, i)
		if r := l.in(slug, script); r.status != 0 {
			t.Fatal(r)
		}
	}
	var pushes []*running
	for i, slug := range slugs {
		pushes = append(pushes, l.script(slug, fmt.Sprintf("cd pair; git push -q origin HEAD:own-%d; git push -q origin HEAD:shared", i)).start(t))
	}
	results := []result{pushes[0].wait(), pushes[1].wait()}
	wants(t, l.refs("app"), "refs/heads/own-0", "refs/heads/own-1", "refs/heads/shared")
	switch won := (results[0].status == 0) != (results[1].status == 0); {
	case !won:
		t.Errorf("not one of two won: %v", results)
	case results[0].status != 0:
		wants(t, results[0].stdout, "rejected")
	default:
		wants(t, results[1].stdout, "rejected")
	}
	l.must("stop", "--discard", slugs[1])
}

func (l *gitLab) testAllow(t *testing.T) {
	const push = "cd app && git push origin HEAD:once"
	l.refused(t, `cd app && git reset -q --hard origin/main && echo $k$l > f && git add f && git commit -qm "not a real key" && git push origin HEAD:once`,
		"an operator can let this push through once with: podbottle git "+l.slug+" allow ")
	var status struct {
		Refusals []struct{ ID string }
	}
	if err := json.Unmarshal([]byte(l.must("git", l.slug, "--format", "json")), &status); err != nil || len(status.Refusals) == 0 {
		t.Fatalf("podbottle git: %v, %d refusals", err, len(status.Refusals))
	}
	id := status.Refusals[0].ID
	shown := l.must("git", l.slug, "--show", id)
	wants(t, shown, "refs/heads/once", "aws-access-token in f, line 1", "REDACTED", "not a real key", "A Person")
	wants(t, l.must("git", l.slug), id, "aws-access-token")
	if strings.Contains(shown, leaked[0]+leaked[1]) {
		t.Error("podbottle git --show prints the secret")
	}
	if r := l.run("git", l.slug, "allow", id); r.status != 125 || !strings.Contains(r.stderr, "--yes") {
		t.Errorf("allowed without a terminal and without --yes: %v", r)
	}
	l.must("git", l.slug, "allow", id, "--yes")
	l.refused(t, "cd app && git push origin HEAD:twice", "push refused") // the allowance is for one push alone
	wants(t, l.agent(t, push), "an operator let this push through, once")
	wants(t, l.refs("app"), "refs/heads/once")
	wants(t, l.must("git", l.slug, "--show", id), "landed")
	if r := l.run("git", l.slug, "allow", id, "--yes"); r.status == 0 {
		t.Errorf("allowed a second time: %v", r)
	}
	l.checkAudit(t)
}

// checkAudit looks for the decision in git-gate's audit file, and at its chain.
func (l *gitLab) checkAudit(t *testing.T) {
	t.Helper()
	path := filepath.Join(l.root, "state", l.slug, "git-gate/data/audit.jsonl")
	wants(t, readFile(t, path), `"allowed-once"`)
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := audit.Verify(file); err != nil {
		t.Error(err)
	}
}

// TestGitWithAnSSHAgent has the host's agent sign: there is no key in the bottle.
func TestGitWithAnSSHAgent(t *testing.T) {
	sock := filepath.Join(t.TempDir(), "agent.sock")
	u := newUser(t, "SSH_AUTH_SOCK="+sock)
	lab := &gitLab{user: u, remote: startSSHD(t)}
	if err := lab.remote.Create("app"); err != nil {
		t.Fatal(err)
	}
	agent := exec.Command("ssh-agent", "-D", "-a", sock)
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = agent.Process.Kill(); _ = agent.Wait() })
	eventually(t, "ssh-agent listens", func() bool {
		return command{argv: []string{"ssh-add", "-l"}, env: u.env}.run(t).status == 1 // it has no keys
	})
	command{argv: []string{"ssh-add", "-q", lab.remote.Path("client")}, env: u.env}.succeed(t)
	u.write("config.yaml", gitConfig)
	u.bottle("coder", "[bash]", fmt.Sprintf("git-gate:\n  repos:\n    app: {url: '%s', ssh_agent: true, host_key: %s}\n", lab.url("app"), lab.hostKey("host")))
	lab.slug = u.start("coder")
	lab.agent(t, `git clone -q "$(url app)" app && cd app && git -c user.name=a -c user.email=a@b.c commit -q --allow-empty -m signed && git push -q origin HEAD:main`)
	if got := lab.git("app.git", "log", "-1", "--format=%s", "main"); got != "signed" {
		t.Errorf("the remote has %q", got)
	}
	if r := u.inside(lab.slug, "ls -R /run/podbottle; env"); strings.Contains(r.stdout, "ssh-agent") || strings.Contains(r.stdout, "SSH_AUTH_SOCK") {
		t.Errorf("the agent sees the ssh agent: %v", r)
	}
	// Only git-gate is the user; the rest of the sidecars are not.
	for name, want := range map[string]string{"git-gate": "0:0", "egress": "65532:0", "pipelock": "65532:0"} {
		container := "bot-bottle-" + lab.slug + "-" + name
		if got := podman(t, "inspect", container, "--format", "{{.Config.User}} {{.EffectiveCaps}}"); got != want+" []" {
			t.Errorf("%s runs as %s", name, got)
		}
	}
}

// searchAgent is a script that counts the lines of an agent's environments, command
// lines and files which hold the text of its standard input. It does not find itself.
const searchAgent = `read -r t; pattern() { printf '%s\n' "$t"; }
{ env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline; grep -rshF -f <(pattern) / --exclude-dir=proc --exclude-dir=sys; } 2>/dev/null | tr '\0' '\n' | grep -cF -f <(pattern)`

// testKey looks for the private key wherever somebody but git-gate could see it.
func (l *gitLab) testKey(t *testing.T) {
	key := readFile(t, l.remote.Path("client"))
	line := strings.Split(key, "\n")[2] // of base64: the first line is the same in all keys
	if len(line) < 40 {
		t.Fatalf("the key's line is %q", line)
	}
	if r := l.input(line+"\n", "exec", l.slug, "--", "bash", "-c", searchAgent); strings.TrimSpace(r.stdout) != "0" {
		t.Errorf("in the agent: %v", r)
	}
	texts := map[string]string{
		"podman inspect": inspections(t, l.slug),
		"the plan":       l.must("start", "coder", "--dry-run", "--format", "json"),
	}
	for _, service := range []string{"git-gate", "egress", "pipelock"} {
		r := l.run("logs", l.slug, "--service", service)
		texts["the log of "+service] = r.stdout + r.stderr
	}
	wants(t, texts["the log of git-gate"], `"landed"`) // the control
	for name, text := range texts {
		if strings.Contains(text, line) || strings.Contains(text, leaked[0]+leaked[1]) {
			t.Errorf("a secret is in %s", name)
		}
	}
	err := filepath.WalkDir(filepath.Join(l.root, "state", l.slug), func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() && strings.Contains(readFile(t, path), line) {
			t.Errorf("the key is on disk in %s", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
