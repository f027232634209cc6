package gate

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/podbottle/podbottle/internal/audit"
	"github.com/podbottle/podbottle/internal/gitgate"
)

func TestCloneFetchAndPush(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	app := s.create("app")
	b := newBottle(t, app)
	b.git("", "clone", "-q", app.URL, "app")
	if head := b.git("app", "log", "-1", "--format=%s"); head != "first" {
		t.Errorf("the clone has %q", head)
	}

	// A commit made outside in between.
	outside := s.commit("app", "outside", "x\n", "from outside")
	b.git("app", "pull", "-q")
	if got := b.git("app", "rev-parse", "HEAD"); got != outside {
		t.Errorf("the agent has %s, want %s", got, outside)
	}

	// A clean push lands, under the identity of the bottle.
	mine := b.commit("app", "mine", "y\n", "from the agent")
	out := b.git("app", "push", "origin", "HEAD")
	if got := s.git("app.git", "rev-parse", "main"); got != mine {
		t.Errorf("the remote has %s, want %s\n%s", got, mine, out)
	}
	if got := s.git("app.git", "log", "-1", "--format=%an <%ae>", "main"); got != "Agent <agent@example.org>" {
		t.Errorf("the commit is by %s", got)
	}
	if !strings.Contains(out, "nothing found in 3 new objects") {
		t.Errorf("the agent was told\n%s", out)
	}
}

func TestWhatTheRemoteHasIsNoReason(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	app := s.create("app")
	lines := "one\nkey = " + awsKey + "\nthree\n"
	s.commit("app", "old.env", lines, "a secret that is out already")
	s.commit("app", "dir/"+awsKey+"/f", "x\n", "a name that is out already")
	s.commit("app", "gone.env", lines, "another")
	s.commit("app", "gone.env", "gone\n", "and away")
	b := newBottle(t, app)
	b.git("", "clone", "-q", app.URL, "app")

	b.commit("app", "old.env", strings.Replace(lines, "three", "THREE", 1), "edit next to it")
	b.commit("app", "dir/new", "x\n", "add next to the name")
	b.git("app", "mv", "old.env", "moved.env")
	b.git("app", "commit", "-q", "-m", "rename")
	b.git("app", "checkout", "-q", "-b", "side", "HEAD~2")
	b.commit("app", "old.env", strings.Replace(lines, "one", "ONE", 1), "edit elsewhere")
	b.git("app", "checkout", "-q", "main")
	b.git("app", "merge", "-q", "-m", "merge with a rename", "side")
	b.git("app", "push", "-q", "origin", "main", "main:refs/heads/a-new-branch")

	// An edit that goes there and back does not make a secret known.
	b.git("app", "checkout", "-q", "-b", "back", "main")
	for _, content := range []string{"1\n" + awsKey + "\n", "2\n" + awsKey + "\n", "1\n" + awsKey + "\n"} {
		b.commit("app", "back.env", content, "back and forth")
	}
	if out, err := b.try("app", "push", "origin", "back"); err == nil || !strings.Contains(out, "in back.env, line 2, commit ") {
		t.Errorf("error %v, and the agent reads\n%s", err, out)
	}

	// The same secret in another place is new.
	b.git("app", "checkout", "-q", "main")
	b.commit("app", "copy.env", lines+"four\n", "copy")
	out, err := b.try("app", "push", "origin", "main")
	if err == nil || !strings.Contains(out, "in copy.env, line 2, commit ") || strings.Contains(out, "old.env") || strings.Contains(out, "moved.env") {
		t.Errorf("error %v, and the agent reads\n%s", err, out)
	}
}

func TestPolicyOfTheRemote(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	app := s.create("app")
	s.commit("app", "second", "2\n", "second")
	s.git("app.git", "branch", "old", "main")
	s.git("app.git", "tag", "stable", "main")
	app.AllowForce, app.AllowDelete, app.LFS = true, true, true
	app.Refs = []string{"refs/heads/*", "refs/tags/*", "refs/changes/*"}
	b := newBottle(t, app)
	b.git("", "clone", "-q", app.URL, "app")
	b.git("app", "reset", "-q", "--hard", "HEAD~1")
	pointer := "version https://git-lfs.github.com/spec/v1\noid sha256:" + strings.Repeat("ab", 32) + "\nsize 12345\n"
	mine := b.commit("app", "model.bin", pointer, "another history")
	b.git("app", "tag", "-f", "stable")
	out := b.git("app", "push", "--atomic", "origin", "+main", "+refs/tags/stable", ":refs/heads/old", "HEAD:refs/changes/1")
	want := mine + " commit\trefs/changes/1\n" + mine + " commit\trefs/heads/main\n" + mine + " commit\trefs/tags/stable"
	if got := s.refs("app"); got != want {
		t.Errorf("the remote has\n%s\nwant\n%s\n%s", got, want, out)
	}
	if out, err := b.try("app", "push", "origin", "HEAD:refs/notes/x"); err == nil {
		t.Errorf("a ref outside of the declared patterns was pushed:\n%s", out)
	}
}

func TestForcedPushOnlyFromWhatTheAgentSaw(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	app := s.create("app")
	app.AllowForce = true
	b := newBottle(t, app)
	b.git("", "clone", "-q", app.URL, "app")
	outside := s.commit("app", "outside", "x\n", "from outside")
	b.git("app", "commit", "-q", "--amend", "-m", "rewritten")
	out, err := b.try("app", "push", "--force", "origin", "main")
	if err == nil || !strings.Contains(out, "refs/heads/main has changed there since the last fetch; fetch and try again") {
		t.Errorf("error %v, and the agent reads\n%s", err, out)
	}
	if got := s.git("app.git", "rev-parse", "main"); got != outside {
		t.Errorf("the remote's main is %s, want %s", got, outside)
	}
}

func TestHostKeys(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	app, unpinned := s.create("app"), s.create("unpinned")
	unpinned.KnownHostKey = ""
	changed := app
	changed.Name = "changed"
	var err error
	if changed.KnownHostKey, err = s.HostKey("stranger"); err != nil {
		t.Fatal(err)
	}
	b := newBottle(t, app, unpinned, changed)
	gate := fmt.Sprintf("git://127.0.0.1:%d/", b.port)
	for name, want := range map[string]string{
		"unpinned": "no host key is pinned for it; give the bottle's remote its KnownHostKey",
		"changed":  "the host's key is not the one that is pinned",
	} {
		if out, err := b.try("", "clone", gate+name+".git"); err == nil || !strings.Contains(out, want) {
			t.Errorf("clone of %s: %v\n%s", name, err, out)
		}
		b.git("", "init", "-q", name)
		b.commit(name, "a", "x\n", "x")
		if out, err := b.try(name, "push", gate+name+".git", "HEAD:refs/heads/x"); err == nil || !strings.Contains(out, want) {
			t.Errorf("push to %s: %v\n%s", name, err, out)
		}
	}
	if n := s.Logins(); n != 0 {
		t.Errorf("%d logins at the remote", n)
	}
	// The failures of two leave the third.
	b.git("", "clone", "-q", gate+"app.git")
}

func TestRemoteDown(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	app := s.create("app")
	b := newBottle(t, app)
	b.git("", "clone", "-q", app.URL, "app")
	s.Stop()
	for _, args := range [][]string{{"-C", "app", "fetch"}, {"-C", "app", "ls-remote"}, {"clone", app.URL, "again"}} {
		if out, err := b.try("", args...); err == nil || !strings.Contains(out, "git-gate cannot serve app from 127.0.0.1:") || !strings.Contains(out, "connection refused") {
			t.Errorf("git %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	b.commit("app", "a", "x\n", "x")
	if out, err := b.try("app", "push", "origin", "HEAD:refs/heads/x"); err == nil || !strings.Contains(out, "the push did not reach 127.0.0.1:") {
		t.Errorf("push: %v\n%s", err, out)
	}
	s.start()
	if out := b.git("app", "ls-remote", "origin", "refs/heads/x"); out != "" {
		t.Errorf("the failed push left %s", out)
	}
	b.git("app", "push", "-q", "origin", "HEAD:refs/heads/x")
}

func TestHeadFollowsTheRemote(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	app := s.create("app")
	s.git("app.git", "branch", "trunk", "main")
	s.git("app.git", "symbolic-ref", "HEAD", "refs/heads/trunk")
	s.git("", "init", "-q", "--bare", "-b", "start", "empty.git")
	empty := s.upstream("empty")
	b := newBottle(t, app, empty)
	b.git("", "clone", "-q", app.URL, "one")
	if got := b.git("one", "branch", "--show-current"); got != "trunk" {
		t.Errorf("the clone is on %q, want trunk", got)
	}
	s.git("app.git", "symbolic-ref", "HEAD", "refs/heads/main")
	s.git("app.git", "branch", "-D", "trunk")
	b.git("", "clone", "-q", app.URL, "two")
	if got := b.git("two", "branch", "--show-current"); got != "main" {
		t.Errorf("the clone is on %q, want main", got)
	}
	if out := b.git("two", "branch", "-r"); strings.Contains(out, "trunk") {
		t.Errorf("a branch that the remote deleted is still there:\n%s", out)
	}
	s.git("app.git", "update-ref", "--no-deref", "HEAD", s.git("app.git", "rev-parse", "main"))
	if out := b.git("", "ls-remote", "--symref", app.URL, "HEAD"); strings.Contains(out, "ref:") || !strings.HasSuffix(out, "HEAD") {
		t.Errorf("a detached HEAD shows as\n%s", out)
	}

	b.git("", "clone", "-q", empty.URL, "new")
	b.commit("new", "a", "x\n", "the first of all")
	b.git("new", "push", "-q", "origin", "HEAD:start")
	if got := b.git("", "ls-remote", "--symref", empty.URL, "HEAD"); !strings.HasPrefix(got, "ref: refs/heads/start\tHEAD") {
		t.Errorf("after the first push HEAD is\n%s", got)
	}
}

func TestManyRepositories(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	upstreams := make([]gitgate.Upstream, 50)
	good := s.create("repo-7")
	for i := range upstreams {
		upstreams[i] = good
		upstreams[i].Name = fmt.Sprintf("repo-%d", i)
		upstreams[i].Path = filepath.Join(s.Dir, fmt.Sprintf("repo-%d.git", i))
		upstreams[i].URL = fmt.Sprintf("ssh://%s@127.0.0.1:%d%s", s.User, s.Addr.Port(), upstreams[i].Path)
	}
	b := newBottle(t, upstreams...)
	var group errgroup.Group
	group.Go(func() error {
		if out, err := b.try("", "clone", upstreams[8].URL, "bad"); err == nil || !strings.Contains(out, "does not appear to be a git repository") {
			return fmt.Errorf("clone of what is not there: %w\n%s", err, out)
		}
		return nil
	})
	group.Go(func() error {
		out, err := b.try("", "clone", upstreams[7].URL, "good")
		if err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

func TestTwoBottlesPushAtOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	app := s.create("app")
	bottles := []*bottle{newBottle(t, app), newBottle(t, app)}
	var group errgroup.Group
	results := make([]string, 2)
	for i, b := range bottles {
		b.git("", "clone", "-q", app.URL, "app")
		b.commit("app", fmt.Sprintf("file-%d", i), "x\n", "from a bottle")
	}
	for i, b := range bottles {
		group.Go(func() error {
			out, err := b.try("app", "push", "origin", "HEAD:refs/heads/both", fmt.Sprintf("HEAD:refs/heads/own-%d", i))
			if err != nil {
				results[i] = out
			}
			return nil
		})
	}
	_ = group.Wait()
	if (results[0] == "") == (results[1] == "") {
		t.Fatalf("one must land and one must not:\n%s\n%s", results[0], results[1])
	}
	refs := s.refs("app")
	for i, failed := range results {
		// The push of the one who came second left nothing at all: it is atomic.
		if strings.Contains(refs, fmt.Sprintf("own-%d", i)) != (failed == "") {
			t.Errorf("bottle %d: %q, and the remote has\n%s", i, failed, refs)
		}
	}
	loser := bottles[0]
	if results[1] != "" {
		loser = bottles[1]
	}
	loser.git("app", "pull", "-q", "--rebase", "origin", "both")
	loser.git("app", "push", "-q", "origin", "HEAD:refs/heads/both")
}

func TestRemoteAnswers(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	app := s.create("app")
	hook := "#!/bin/sh\nprintf 'hello \\033[31mred\\033[0m\\n'; while read old new ref; do case $ref in *closed*) echo 'closed for the season'; exit 1;; esac; done\n"
	if err := os.WriteFile(filepath.Join(s.Dir, "app.git/hooks/pre-receive"), []byte(hook), 0o755); err != nil {
		t.Fatal(err)
	}
	b := newBottle(t, app)
	b.git("", "clone", "-q", app.URL, "app")
	b.commit("app", "a", "x\n", "x")
	out := b.git("app", "push", "origin", "HEAD:refs/heads/open")
	if !strings.Contains(out, "podbottle: 127.0.0.1: hello <ESC>[31mred<ESC>[0m") {
		t.Errorf("the agent reads\n%s", out)
	}
	out, err := b.try("app", "push", "origin", "HEAD:refs/heads/closed")
	if err == nil || !strings.Contains(out, "podbottle: 127.0.0.1: closed for the season") ||
		!strings.Contains(out, "127.0.0.1 refused the push: refs/heads/closed [remote rejected] (pre-receive hook declined)") {
		t.Errorf("%v\n%s", err, out)
	}
	if out := b.git("app", "ls-remote", "origin"); strings.Contains(out, "closed") {
		t.Errorf("the mirror has what the remote refused:\n%s", out)
	}
}

func TestMagicRefs(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	app := s.create("app")
	// As Gerrit does: the ref is an address, and nothing stays there.
	hook := "#!/bin/sh\nwhile read old new ref; do git update-ref -d $ref; git update-ref refs/changes/$new $new; done\n"
	if err := os.WriteFile(filepath.Join(s.Dir, "app.git/hooks/post-receive"), []byte(hook), 0o755); err != nil {
		t.Fatal(err)
	}
	b := newBottle(t, app)
	b.git("", "clone", "-q", app.URL, "app")
	for _, content := range []string{"one\n", "two\n"} {
		b.git("app", "reset", "-q", "--hard", "origin/main")
		name := b.commit("app", "a", content, "a change")
		b.git("app", "push", "-q", "origin", "HEAD:refs/for/main")
		if got := s.refs("app"); !strings.Contains(got, "refs/changes/"+name) || strings.Contains(got, "refs/for") {
			t.Errorf("the remote has\n%s", got)
		}
	}
}

func TestAnOperatorAllowsOnePush(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	app := s.create("app")
	b := newBottle(t, app)
	b.git("", "clone", "-q", app.URL, "app")
	secret := b.commit("app", "test.env", "example = "+awsKey+"\n", "an example key")
	refused := func() gitgate.Refusal {
		t.Helper()
		if out, err := b.try("app", "push", "origin", "HEAD:refs/heads/x"); err == nil {
			t.Fatalf("the push went through:\n%s", out)
		}
		all, err := gitgate.Refusals(b.path("state"))
		if err != nil || len(all) == 0 {
			t.Fatalf("refused pushes: %v, %v", all, err)
		}
		return all[0]
	}
	first := refused()
	if again := refused(); again.ID != first.ID || again.Attempts != 2 {
		t.Errorf("the same push again is %s, attempt %d; the first was %s", again.ID, again.Attempts, first.ID)
	}
	want := []gitgate.Finding{{
		Reason: gitgate.ReasonSecret, Rule: "aws-access-token", Description: first.Findings[0].Description,
		Place: gitgate.PlaceFile, Path: "test.env", Line: 1, Commit: secret, Excerpt: "example = REDACTED",
	}}
	if diff := cmp.Diff(want, first.Findings); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	if want := []gitgate.Commit{{Name: secret, Author: "Agent <agent@example.org>", Subject: "an example key"}}; !cmp.Equal(want, first.Commits) {
		t.Errorf("commits %v, want %v", first.Commits, want)
	}

	allow := gitgate.Allowance{ID: first.ID, By: "ann", At: time.Now().UTC()}
	if err := allow.Write(b.path("config")); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the gate to record the allowance", func() bool {
		r, err := gitgate.ReadRefusal(b.path("state"), first.ID)
		return err == nil && r.AllowedBy == "ann"
	})
	// It is for that push only.
	b.commit("app", "more", "x\n", "more")
	if other := refused(); other.ID == first.ID {
		t.Error("another push has the same ID")
	}
	b.git("app", "reset", "-q", "--hard", secret)
	if out := b.git("app", "push", "origin", "HEAD:refs/heads/x"); !strings.Contains(out, "an operator let this push through, once") ||
		!strings.Contains(out, "let through with 1 finding; pushing to ") || strings.Contains(out, "nothing found") {
		t.Errorf("the agent reads\n%s", out)
	}
	// Once: from the same state to the same state it is refused again.
	s.git("app.git", "update-ref", "-d", "refs/heads/x")
	b.git("app", "fetch", "-q", "--prune", "origin")
	if again := refused(); again.ID != first.ID || again.LandedAt.IsZero() {
		t.Errorf("the second time: %+v", again)
	}
	checkAllowanceRecorded(t, b, first.ID)
}

// checkAllowanceRecorded looks for the operator's decision and its use in the audit chain.
func checkAllowanceRecorded(t *testing.T, b *bottle, id string) {
	t.Helper()
	file, err := os.Open(b.path("state", gitgate.AuditFile))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var got []string
	for line, err := range audit.Lines(file) {
		if err != nil {
			t.Fatal(err)
		}
		var rec gitgate.Record
		if err := json.Unmarshal(line, &rec); err != nil {
			t.Fatal(err)
		}
		if rec.Refusal == id {
			got = append(got, fmt.Sprintf("%s %s %s %s", rec.Event, rec.Verdict, rec.Reason, rec.By))
		}
	}
	want := []string{
		"push deny secret ", "push deny secret ", "allow allow allowed-once ann",
		"push allow forwarded ann", "push allow landed ann", "push deny secret ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records of the push (-want +got):\n%s", diff)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	app := s.create("app")
	b := startBottle(t, gitgate.Limits{PackBytes: 200_000, Objects: 20, Refs: 3}, app)
	b.git("", "clone", "-q", app.URL, "app")
	var refs []string
	for i := range 4 {
		refs = append(refs, fmt.Sprintf("HEAD:refs/heads/b%d", i))
	}
	if out, err := b.try("app", append([]string{"push", "origin"}, refs...)...); err == nil || !strings.Contains(out, "changes more than 3 refs") {
		t.Errorf("%v\n%s", err, out)
	}
	for i := range 10 {
		b.commit("app", fmt.Sprint("f", i), fmt.Sprint(i), "many objects")
	}
	if out, err := b.try("app", "push", "origin", "HEAD:refs/heads/many"); err == nil || !strings.Contains(out, "brings more than 20 objects") {
		t.Errorf("%v\n%s", err, out)
	}
	b.git("app", "reset", "-q", "--hard", "origin/main")
	noise := make([]byte, 300_000)
	_, _ = rand.Read(noise)
	b.commit("app", "noise", string(noise), "large")
	if out, err := b.try("app", "push", "origin", "HEAD:refs/heads/large"); err == nil || !strings.Contains(out, "pack exceeds maximum allowed size") {
		t.Errorf("%v\n%s", err, out)
	}
	b.git("app", "reset", "-q", "--hard", "origin/main")
	b.commit("app", "noise", string(noise[:100_000]), "not so large")
	b.git("app", "push", "-q", "origin", "HEAD:refs/heads/fits")
}

func TestSSHAgent(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	app := s.create("app")
	app.IdentityFile, app.SSHAgent = "", true
	b := newBottle(t, app)
	if out, err := b.try("", "clone", "-q", app.URL, "app"); err == nil {
		t.Errorf("cloned without a key:\n%s", out)
	}
	agent := exec.Command(program(t, "ssh-agent", "openssh-client"), "-D", "-a", b.path("ssh-agent.sock"))
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = agent.Process.Kill(); _ = agent.Wait() })
	waitFor(t, "the ssh agent", func() bool { _, err := os.Stat(b.path("ssh-agent.sock")); return err == nil })
	add := exec.Command(program(t, "ssh-add", "openssh-client"), "-q", s.Path("client"))
	add.Env = []string{"SSH_AUTH_SOCK=" + b.path("ssh-agent.sock")}
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("ssh-add: %v\n%s", err, out)
	}
	b.git("", "clone", "-q", app.URL, "app")
}

func TestWithoutProtocol2(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Stop()
	s.AcceptEnv = "NOTHING" // then git speaks version 0 with the remote
	s.start()
	app := s.create("app")
	b := newBottle(t, app)
	b.git("", "clone", "-q", app.URL, "app")
	if got := b.git("app", "branch", "--show-current"); got != "main" {
		t.Errorf("the clone is on %q", got)
	}
}

func TestRestartKeepsTheMirror(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	app := s.create("app")
	b := newBottle(t, app)
	b.git("", "clone", "-q", app.URL, "app")
	b.stop()
	b.start()
	// A push right after a resume: the mirror knows the history, and only the new is scanned.
	b.commit("app", "a", "x\n", "x")
	if out := b.git("app", "push", "origin", "HEAD"); !strings.Contains(out, "nothing found in 3 new objects") {
		t.Errorf("the agent reads\n%s", out)
	}
}

func TestPushWithoutAnyFetch(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	app := s.create("app")
	b := newBottle(t, app)
	// A workspace that was copied in with its history.
	mustRun(t, "git", "clone", "-q", filepath.Join(s.Dir, "app.git"), filepath.Join(b.home, "app"))
	b.git("app", "remote", "set-url", "origin", app.URL)
	b.commit("app", "a", "x\n", "x")
	if out := b.git("app", "push", "origin", "HEAD"); !strings.Contains(out, "nothing found in 3 new objects") {
		t.Errorf("the agent reads\n%s", out)
	}
}

// TestRawRequests speaks the git protocol (gitprotocol-pack(5)) by hand, as an agent may.
func TestRawRequests(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	app := s.create("app")
	b := newBottle(t, app)
	for _, request := range []string{
		"git-upload-pack /../../../../etc\x00host=x\x00",
		"git-upload-pack /app.git/../../run\x00host=x\x00",
		"git-upload-pack /other.git\x00host=x\x00",
		"git-upload-pack /$(touch pwned).git\x00host=$(touch pwned)\x00",
		"git-upload-pack -x\x00host=x\x00",
		"git-upload-pack ~root/x\x00host=x\x00",
		"git-upload-archive /app.git\x00host=x\x00",
		"git-evil-pack /app.git\x00host=x\x00",
		"\x00\x00",
		strings.Repeat("A", 60_000),
	} {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", b.port))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "%04x%s", len(request)+4, request)
		answer, _ := io.ReadAll(conn)
		_ = conn.Close()
		if len(answer) > 4 && !strings.HasPrefix(string(answer[4:]), "ERR ") {
			t.Errorf("%.60q is answered with %.200q", request, answer)
		}
	}
	if n := s.Logins(); n != 0 {
		t.Errorf("%d connections reached the remote", n)
	}
	b.git("", "clone", "-q", app.URL, "app")
}
