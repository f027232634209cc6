//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is copied out is what the agent wrote, from a bottle that runs and from one
// that is kept, and nothing of it leads anywhere else.
func TestCopyOutOfABottle(t *testing.T) {
	u := newUser(t)
	u.bottle("fixer", "[bash, -c, 'sleep infinity']", "")
	slug := u.start("fixer")
	inside := u.inside(slug, `set -e; mkdir -p tree/sub; head -c 3000000 /dev/urandom > tree/sub/data; ln -s sub/data tree/in
		ln -s /etc/passwd tree/out; ln -s ../.. tree/sub/up; cp /bin/true tree/suid; chmod 6755 tree/suid; mkdir -p tree/.git/hooks
		echo 'touch $HOME/hooked' > tree/.git/hooks/post-checkout; ln -s /etc top; sha256sum < tree/sub/data`)
	if inside.status != 0 {
		t.Fatal(inside)
	}
	same := func(dest string) {
		t.Helper()
		got := command{argv: []string{"bash", "-c", "sha256sum < " + filepath.Join(u.cwd, dest, "in")}}.succeed(t)
		if got != strings.TrimSpace(inside.stdout) {
			t.Errorf("%s/in is %q and not what the agent wrote, %q", dest, got, inside.stdout)
		}
		for _, name := range []string{"out", "sub/up"} {
			if _, err := os.Lstat(filepath.Join(u.cwd, dest, name)); !os.IsNotExist(err) {
				t.Errorf("%s/%s leads out of the copy: %v", dest, name, err)
			}
		}
		info, err := os.Stat(filepath.Join(u.cwd, dest, "suid"))
		if err != nil || info.Mode() != 0o755 {
			t.Errorf("%s/suid: %v, %v", dest, info, err)
		}
	}
	r := u.run("cp", slug+":tree", ".")
	if r.status != 0 {
		t.Fatal(r)
	}
	wants(t, r.stderr, "out is left out", "sub/up is left out", "Warning", "tree/.git/hooks/post-checkout")
	same("tree")
	if r := u.run("cp", slug+":tree", "."); r.status != 125 || !strings.Contains(r.stderr, "is there already") {
		t.Errorf("the copy was mixed into a directory: %v", r)
	}
	for path, want := range map[string]string{"top": "is a symbolic link", "none/at": "in the bottle: /home/node/none/at could not be found: no such file", "/etc/shadow": "/etc/shadow: permission denied", "/etc": "in the bottle: /etc/"} {
		if r := u.run("cp", slug+":"+path, "refused"); r.status != 125 || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: %v", path, r)
		}
	}
	if r := u.run("cp", slug+":tree", "gone/tree"); r.status != 125 || !strings.Contains(r.stderr, "on the host: gone could not be found") {
		t.Errorf("into a directory that is not there: %v", r)
	}
	listed := command{argv: []string{"bash", "-c", "podbottle cp " + slug + ":tree - | tar -tv"}, dir: u.cwd, env: []string{"BOT_BOTTLE_ROOT=" + u.root}}.succeed(t)
	wants(t, listed, "tree/sub/data", "tree/in -> sub/data")
	if strings.Contains(listed, "passwd") {
		t.Errorf("the archive has a link that leads out:\n%s", listed)
	}

	// What is refused is read no further, in the bottle as well.
	if r := u.inside(slug, "truncate -s 8T hole"); r.status != 0 {
		t.Fatal(r)
	}
	if r := u.run("cp", slug+":hole", "."); r.status != 125 || !strings.Contains(r.stderr, "that are free") {
		t.Errorf("a hole of eight tebibytes: %v", r)
	}
	if r := u.inside(slug, "for i in $(seq 100); do pgrep -f 'copy --[p]ack' >/dev/null || exit 0; sleep 0.1; done; exit 1"); r.status != 0 {
		t.Errorf("the bottle's end of the copy goes on: %v", r)
	}

	u.must("stop", slug)
	if r := u.run("cp", slug+":tree", "kept"); r.status != 0 {
		t.Fatal(r)
	}
	same("kept")
	if r := u.run("cp", slug+":none", "."); r.status != 125 || !strings.Contains(r.stderr, "in the bottle: /home/node/none could not be found") {
		t.Errorf("out of a kept home that has it not: %v", r)
	}
	if r := u.run("cp", slug+":/etc/hostname", "."); r.status != 125 || !strings.Contains(r.stderr, "only its agent's home") {
		t.Errorf("out of a container that is gone: %v", r)
	}
	entries, err := os.ReadDir(u.cwd)
	if err != nil || len(entries) != 2 {
		t.Errorf("beside the two copies there is more: %v, %v", entries, err)
	}
}

// What is copied in is the agent's own, and stays in the directory that was named.
func TestCopyIntoABottle(t *testing.T) {
	u := newUser(t)
	u.bottle("fixer", "[bash, -c, 'sleep infinity']", "")
	slug := u.start("fixer")
	writeFile(t, filepath.Join(u.cwd, "dir", "sub", "file"), "from the host\n")
	if err := os.Symlink("/etc/passwd", filepath.Join(u.cwd, "dir", "out")); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(u.cwd, "big"), strings.Repeat("0123456789abcdef", 1<<18))
	if r := u.run("cp", "dir", slug+":"); r.status != 0 || !strings.Contains(r.stderr, "out is left out") {
		t.Fatal(r)
	}
	u.must("cp", "big", slug+":dir/sub/")
	if r := u.inside(slug, "cat dir/sub/file && touch dir/sub/mine && stat -c %U dir/sub/file && stat -c %s dir/sub/big && ls dir"); r.stdout != "from the host\nnode\n4194304\nsub\n" {
		t.Errorf("%v", r)
	}
	if r := u.inside(slug, "mkdir outside && ln -s ~/outside link"); r.status != 0 {
		t.Fatal(r)
	}
	for dest, want := range map[string]string{"dir/sub/file": "is there already", "/etc/": "permission denied", "none/dir/": "no directory"} {
		if r := u.run("cp", "dir", slug+":"+dest); r.status != 125 || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: %v", dest, r)
		}
	}
	if r := u.run("cp", "missing", slug+":"); r.status != 125 || !strings.Contains(r.stderr, "on the host: missing could not be found: no such file") {
		t.Errorf("from a path that is not there: %v", r)
	}
	archive := u.podbottle("cp", "-", slug+":dir")
	archive.stdin = command{argv: []string{"tar", "-c", "big"}, dir: u.cwd}.succeed(t)
	archive.succeed(t)
	archive.stdin = command{argv: []string{"tar", "-cP", "../work/big"}, dir: u.cwd}.succeed(t)
	if r := archive.run(t); r.status != 125 || !strings.Contains(r.stderr, "dot-dot") {
		t.Errorf("a name that leads out: %v", r)
	}
	if r := u.inside(slug, "ls -A dir outside"); r.stdout != "dir:\nbig\nsub\n\noutside:\n" {
		t.Errorf("%v", r)
	}

	u.must("stop", slug)
	u.must("cp", "big", slug+":later")
	if r := u.run("resume", slug, "--detach", "--yes"); r.status != 0 {
		t.Fatal(r)
	}
	if r := u.inside(slug, "cmp later dir/big && stat -c %U later"); r.stdout != "node\n" {
		t.Errorf("%v", r)
	}
}
