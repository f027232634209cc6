package buildcontext

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// tree lays out files; a value "-> x" is a link, "|" a pipe.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "cwd")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			err = os.Symlink(target, path)
		} else if content == "|" {
			err = syscall.Mkfifo(path, 0o600)
		} else {
			err = os.WriteFile(path, []byte(content), 0o640)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// lines gives one line an entry: name, type, mode, owner and content or target.
func lines(t *testing.T, c *Context) []string {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	if err := errors.Join(c.WriteTo(w, "p"), w.Close()); err != nil {
		t.Fatal(err)
	}
	var list []string
	for r := tar.NewReader(&buf); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprintf("%s %c %o %d:%d %s%s", h.Name, h.Typeflag, h.Mode, h.Uid, h.Gid, h.Linkname, content))
	}
}

func TestWriteTo(t *testing.T) {
	dir := tree(t, map[string]string{
		"../secret": "SECRET", "a": "1", "sub/b": "2", "sub/up": "-> ../a", "in": "-> sub/b", "dangling": "-> none",
		"abs": "-> /etc/passwd", "out": "-> ../secret", "sub/out": "-> ../../secret", "dirlink": "-> ..", "pipe": "|",
		".wh...": "", "sub/.wh.b": "", ".wh..wh..opq/x": "",
	})
	if err := os.Chmod(filepath.Join(dir, "a"), 0o4755); err != nil {
		t.Fatal(err)
	}
	c, err := Open(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	want := []string{
		"p/a 0 755 1000:1000 1", "p/dangling 2 777 1000:1000 none", "p/in 2 777 1000:1000 sub/b",
		"p/sub/ 5 755 1000:1000 ", "p/sub/b 0 640 1000:1000 2", "p/sub/up 2 777 1000:1000 ../a",
	}
	if got := lines(t, c); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	size, err := c.Size()
	if err != nil || size.Files != 5 || size.Bytes != 2 || !slices.Equal(size.LeftOut, []string{".wh...", ".wh..wh..opq", "abs", "dirlink", "out", "pipe", "sub/.wh.b", "sub/out"}) {
		t.Errorf("%+v, %v", size, err)
	}
}

func TestIgnore(t *testing.T) {
	dir := tree(t, map[string]string{
		".containerignore": "# comment\nnode_modules\n**/*.log\n!keep/*.log\n/top\n", ".dockerignore": "*\n",
		"node_modules/x/y": "", "a.log": "", "sub/b.log": "", "keep/c.log": "", "top": "", "sub/top": "", "sub/node_modules/z": "",
	})
	c, err := Open(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var names []string
	for _, line := range lines(t, c) {
		names = append(names, strings.Fields(line)[0])
	}
	want := []string{
		"p/.containerignore", "p/.dockerignore", "p/keep/", "p/keep/c.log", "p/sub/", "p/sub/node_modules/", "p/sub/node_modules/z", "p/sub/top",
	}
	if !slices.Equal(names, want) || c.IgnoreFile() != ".containerignore" {
		t.Errorf("%s: got %q\nwant %q", c.IgnoreFile(), names, want)
	}
}

func TestOpenErrors(t *testing.T) {
	tests := []struct {
		name, dir, within string
		files             map[string]string
	}{
		{name: "missing", dir: "none"},
		{name: "ignore file is a pipe", files: map[string]string{".containerignore": "|"}},
		{name: "ignore file is a directory", files: map[string]string{".containerignore/x": ""}},
		{name: "ignore file leads out", files: map[string]string{"../rules": "", ".containerignore": "-> ../rules"}},
		{name: "ignore file is large", files: map[string]string{".containerignore": strings.Repeat("x\n", maxIgnoreFile)}},
		{name: "bad pattern", files: map[string]string{".containerignore": "[\n"}},
		{name: "link out of the outer directory", dir: "docker", within: ".", files: map[string]string{"../other/f": "", "docker": "-> ../other"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := tree(t, tt.files)
			within := ""
			if tt.within != "" {
				within = dir
			}
			if c, err := Open(filepath.Join(dir, tt.dir), within); err == nil {
				t.Errorf("opened; it holds %q", lines(t, c))
			}
		})
	}
}
