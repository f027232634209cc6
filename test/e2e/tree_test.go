//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"testing"
)

// tree is a user's files: a bot-bottle tree, and the directory podbottle is
// called in.
type tree struct {
	root string // BOT_BOTTLE_ROOT
	cwd  string
	env  []string // NAME=VALUE, for every podbottle that is run on the tree
}

// newTree writes files (paths relative to the bot-bottle tree, such as
// bottles/dev.md) into a new tree with an empty working directory.
func newTree(t testing.TB, files map[string]string) *tree {
	t.Helper()
	dir := t.TempDir()
	tr := &tree{root: filepath.Join(dir, "bot-bottle"), cwd: filepath.Join(dir, "work")}
	for _, d := range []string{tr.root, tr.cwd} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range files {
		writeFile(t, filepath.Join(tr.root, name), content)
	}
	return tr
}

// podbottle is the command `podbottle ARGS…` on this tree.
func (tr *tree) podbottle(args ...string) command {
	return command{
		argv: append([]string{"podbottle"}, args...),
		env:  append([]string{"BOT_BOTTLE_ROOT=" + tr.root}, tr.env...),
		dir:  tr.cwd,
	}
}

func writeFile(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
