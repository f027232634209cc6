package gate

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/podbottle/podbottle/internal/audit"
	"github.com/podbottle/podbottle/internal/gitgate"
)

// refusal is one push that must not leave.
type refusal struct {
	name string
	// prepare makes the push in the clone and returns its refspecs.
	prepare func(b *bottle, clone string) []string
	// says are parts of what the agent reads.
	says []string
}

func secretPushes() []refusal {
	return []refusal{
		{"in a file", func(b *bottle, c string) []string {
			b.commit(c, "config/prod.env", "# settings\nmode=prod\nkey = "+awsKey+"\n", "settings")
			return []string{"HEAD:refs/heads/x"}
		}, []string{"gitleaks: aws-access-token in config/prod.env, line 3, commit "}},
		{"added and removed again", func(b *bottle, c string) []string {
			b.commit(c, "a", awsKey+"\n", "add")
			b.commit(c, "a", "gone\n", "remove")
			return []string{"HEAD:refs/heads/x"}
		}, []string{"gitleaks: aws-access-token in a, line 1, commit "}},
		{"in a commit message", func(b *bottle, c string) []string {
			b.commit(c, "a", "x\n", "subject\n\nthe key is "+awsKey)
			return []string{"HEAD:refs/heads/x"}
		}, []string{"in the commit message, line 3, commit "}},
		{"in the author's name", func(b *bottle, c string) []string {
			b.git(c, "-c", "user.name="+awsKey, "commit", "-q", "--allow-empty", "-m", "x")
			return []string{"HEAD:refs/heads/x"}
		}, []string{"in the author or committer, line 1, commit "}},
		{"in a header of a commit", func(b *bottle, c string) []string {
			tree := b.git(c, "rev-parse", "HEAD^{tree}")
			head := b.git(c, "rev-parse", "HEAD")
			b.put(c, "../raw", "tree "+tree+"\nparent "+head+"\nauthor A <a@b.c> 1 +0000\ncommitter A <a@b.c> 1 +0000\nx-note "+awsKey+"\n\nm\n")
			return []string{b.git(c, "hash-object", "-t", "commit", "-w", "../raw") + ":refs/heads/x"}
		}, []string{"in the commit header"}},
		{"in an annotated tag", func(b *bottle, c string) []string {
			b.git(c, "tag", "-a", "-m", "for "+awsKey, "v1")
			return []string{"refs/tags/v1"}
		}, []string{"in the tag, line 1, commit "}},
		{"in a note", func(b *bottle, c string) []string {
			b.git(c, "notes", "add", "-f", "-m", "see "+awsKey, "HEAD")
			return []string{"refs/notes/commits"}
		}, []string{"line 1, commit ", "gitleaks: aws-access-token in "}},
		{"in base64", func(b *bottle, c string) []string {
			b.commit(c, "blob.txt", "data: "+base64.StdEncoding.EncodeToString([]byte("the key is "+awsKey+", keep it"))+"\n", "x")
			return []string{"HEAD:refs/heads/x"}
		}, []string{"in blob.txt, line 1, commit "}},
		{"in a file name", func(b *bottle, c string) []string {
			b.commit(c, "keys/"+awsKey+".txt", "x\n", "x")
			return []string{"HEAD:refs/heads/x"}
		}, []string{"in the file name keys/REDACTED.txt, commit "}},
		{"in a directory's name", func(b *bottle, c string) []string {
			b.commit(c, awsKey+"/deep/file.txt", "x\n", "x")
			return []string{"HEAD:refs/heads/x"}
		}, []string{"in the file name REDACTED, commit "}},
		{"in a branch's name", func(*bottle, string) []string {
			return []string{"HEAD:refs/heads/" + awsKey}
		}, []string{"in the ref name, refs/heads/REDACTED"}},
		{"in a file that says it is binary", func(b *bottle, c string) []string {
			b.put(c, ".gitattributes", "* binary -diff\n")
			b.commit(c, "image.png", "\x00\x01\x02\nkey = "+awsKey+"\n\x00", "x")
			return []string{"HEAD:refs/heads/x"}
		}, []string{"in image.png, line 2, commit "}},
		{"with gitleaks' own exceptions", func(b *bottle, c string) []string {
			b.put(c, ".gitleaksignore", "a:aws-access-token:1\n")
			b.put(c, ".gitleaks.toml", "[allowlist]\npaths = ['''.*''']\n")
			b.commit(c, "a", "key = "+awsKey+" # gitleaks:allow\n", "x")
			return []string{"HEAD:refs/heads/x"}
		}, []string{"in a, line 1, commit "}},
		{"in a merge's own content", func(b *bottle, c string) []string {
			b.git(c, "checkout", "-q", "-b", "side", "origin/main")
			b.commit(c, "side", "s\n", "side")
			b.git(c, "checkout", "-q", "main")
			b.commit(c, "mine", "m\n", "mine")
			b.git(c, "merge", "-q", "--no-commit", "side")
			b.put(c, "evil", awsKey+"\n")
			b.git(c, "add", "-A")
			b.git(c, "commit", "-q", "-m", "merge")
			return []string{"HEAD:refs/heads/x"}
		}, []string{"in evil, line 1, commit "}},
		{"in a tag on a file", func(b *bottle, c string) []string {
			b.put(c, "../loose", "key "+awsKey+"\n")
			b.git(c, "tag", "blob", b.git(c, "hash-object", "-w", "../loose"))
			return []string{"refs/tags/blob"}
		}, []string{"gitleaks: aws-access-token in the file, line 1"}},
		{"in a commit that replaces another", func(b *bottle, c string) []string {
			bad := b.commit(c, "a", awsKey+"\n", "bad")
			b.git(c, "reset", "-q", "--hard", "HEAD~1")
			good := b.commit(c, "a", "fine\n", "good")
			b.git(c, "replace", bad, good)
			return []string{bad + ":refs/heads/x", "refs/replace/" + bad}
		}, []string{"in a, line 1, commit ", "is not among the refs that may be pushed"}},
		{"in the second of two refs", func(b *bottle, c string) []string {
			b.commit(c, "a", "fine\n", "good")
			b.git(c, "branch", "-f", "fine")
			b.commit(c, "b", awsKey+"\n", "bad")
			return []string{"fine:refs/heads/fine", "HEAD:refs/for/main"}
		}, []string{"in b, line 1, commit "}},
		{"far inside a large file", func(b *bottle, c string) []string {
			filler := strings.Repeat("nothing to see in this line of text\n", 20_000)
			b.commit(c, "large.txt", filler+"key = "+awsKey+"\n"+filler, "x")
			return []string{"HEAD:refs/heads/x"}
		}, []string{"in large.txt, line 20001, commit "}},
		{"where a long line ends at the border of two pieces", func(b *bottle, c string) []string {
			filler := strings.Repeat("x ", (chunkSize+chunkOverlap)/2-50)
			b.commit(c, "large.txt", filler+"-----BEGIN RSA "+"PRIVATE KEY-----\n"+strings.Repeat(strings.Repeat("Ab3d", 16)+"\n", 25)+"-----END RSA "+"PRIVATE KEY-----\n", "x")
			return []string{"HEAD:refs/heads/x"}
		}, []string{"gitleaks: private-key in large.txt, line 1, commit "}},
		{"a key store by its name", func(b *bottle, c string) []string {
			b.commit(c, "client.p12", "\x30\x82", "x")
			return []string{"HEAD:refs/heads/x"}
		}, []string{"gitleaks: pkcs12-file in client.p12"}},
		{"a Git LFS pointer", func(b *bottle, c string) []string {
			b.commit(c, "model.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:"+strings.Repeat("ab", 32)+"\nsize 12345\n", "x")
			return []string{"HEAD:refs/heads/x"}
		}, []string{"model.bin is a Git LFS pointer, and LFS is not declared for this remote, commit "}},
		{"forced", func(b *bottle, c string) []string {
			b.git(c, "reset", "-q", "--hard", "HEAD~1")
			b.commit(c, "other", "x\n", "another history")
			return []string{"+HEAD:refs/heads/main"}
		}, []string{"refs/heads/main would be rewritten, and forced pushes are not allowed"}},
		{"a tag that moves", func(b *bottle, c string) []string {
			b.commit(c, "other", "x\n", "newer")
			b.git(c, "tag", "-f", "stable")
			return []string{"+refs/tags/stable"}
		}, []string{"refs/tags/stable would be rewritten, and forced pushes are not allowed"}},
		{"a deletion", func(*bottle, string) []string {
			return []string{":refs/heads/old"}
		}, []string{"refs/heads/old would be deleted, and deletions are not allowed"}},
		{"a ref outside of the patterns", func(*bottle, string) []string {
			return []string{"HEAD:refs/pull/1/head"}
		}, []string{"refs/pull/1/head is not among the refs that may be pushed"}},
	}
}

func TestPushesThatDoNotLeave(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	app := s.create("app")
	s.commit("app", "second", "2\n", "second")
	s.git("app.git", "tag", "stable", "main")
	s.git("app.git", "branch", "old", "main")
	b := newBottle(t, app)
	b.git("", "clone", "-q", app.URL, "first")
	before, connections := s.refs("app"), s.Logins()
	pushed := 0
	for _, tt := range secretPushes() {
		t.Run(tt.name, func(t *testing.T) {
			// Each case has a clone of its own; copying it contacts nobody.
			clone := strings.ReplaceAll(tt.name, " ", "-")
			if err := os.CopyFS(filepath.Join(b.home, clone), os.DirFS(filepath.Join(b.home, "first"))); err != nil {
				t.Fatal(err)
			}
			refspecs := tt.prepare(b, clone)
			pushed++
			out, err := b.try(clone, append([]string{"push", "origin"}, refspecs...)...)
			if err == nil {
				t.Errorf("the push went through:\n%s", out)
			}
			for _, want := range append(tt.says, "push refused; nothing of it went to 127.0.0.1", "podbottle git demo-abc12 allow ") {
				if !strings.Contains(out, want) {
					t.Errorf("the agent does not read %q but\n%s", want, out)
				}
			}
			for line := range strings.Lines(out) { // git itself repeats the name of a branch
				if strings.HasPrefix(line, "remote:") && strings.Contains(line, awsKey) {
					t.Errorf("the secret is in what the gate says:\n%s", out)
				}
			}
			if got := s.refs("app"); got != before {
				t.Errorf("the remote changed to\n%s", got)
			}
			if got := s.Logins(); got != connections {
				t.Errorf("%d connections reached the remote", got-connections)
			}
		})
	}
	checkNoSecretKept(t, b, pushed)
}

// checkNoSecretKept looks for the secret in what the gate wrote down.
func checkNoSecretKept(t *testing.T, b *bottle, pushed int) {
	t.Helper()
	text, err := os.ReadFile(b.path("state", gitgate.AuditFile))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := audit.Verify(strings.NewReader(string(text))); err != nil || n < pushed {
		t.Errorf("the audit chain has %d lines, %v", n, err)
	}
	if strings.Contains(string(text), awsKey) {
		t.Error("the audit file holds the secret")
	}
	refusals, err := gitgate.Refusals(b.path("state"))
	if err != nil || len(refusals) != pushed {
		t.Errorf("%d refused pushes are kept (%v), want %d", len(refusals), err, pushed)
	}
	for _, r := range refusals {
		kept, err := os.ReadFile(b.path("state", gitgate.RefusedDir, r.ID+".json"))
		if err != nil || strings.Contains(string(kept), awsKey) {
			t.Errorf("refused push %s: %v, or it holds the secret", r.ID, err)
		}
	}
}
