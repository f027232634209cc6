package archive

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzUnpack unpacks anything and looks for what came out of the target.
func FuzzUnpack(f *testing.F) {
	for _, tt := range hostile() {
		if data, err := tryBuild(tt.headers); err == nil {
			f.Add(data)
		}
	}
	f.Add(build(f, "text", link("top/a/l", "../b"), link("top/b", "a/x")))
	f.Fuzz(func(t *testing.T, data []byte) {
		outer := t.TempDir()
		target := filepath.Join(outer, "target")
		victim := filepath.Join(outer, "victim")
		if err := os.WriteFile(victim, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(target, 0o755); err != nil {
			t.Fatal(err)
		}
		_, err := Unpack(bytes.NewReader(data), target, "top", "copy")
		if filtered := Filter(io.Discard, bytes.NewReader(data), "top"); err == nil && filtered != nil {
			t.Errorf("the filter refuses what is unpacked: %v", filtered)
		}
		if text, readErr := os.ReadFile(victim); readErr != nil || string(text) != "old" {
			t.Fatalf("written outside: %q, %v", text, readErr)
		}
		entries, readErr := os.ReadDir(outer)
		if readErr != nil || len(entries) != 2 {
			t.Fatalf("outside: %v, %v", entries, readErr)
		}
		names := listing(t, target)
		if err != nil && len(names) > 0 {
			t.Fatalf("left after %v: %q", err, names)
		}
		walkErr := filepath.WalkDir(target, func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := os.Lstat(path)
			if err != nil {
				return err
			}
			if kind := info.Mode().Type(); kind&^(fs.ModeDir|fs.ModeSymlink) != 0 || info.Mode()&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky) != 0 {
				t.Errorf("%s is a %v", path, info.Mode())
			}
			// What a link leads to is there or not, but it is not outside.
			if real, err := filepath.EvalSymlinks(path); err == nil && real != target && !strings.HasPrefix(real, target+"/copy") {
				t.Errorf("%s leads to %s", path, real)
			}
			return nil
		})
		if walkErr != nil {
			t.Fatal(walkErr)
		}
	})
}
