package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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
	f.Fuzz(staysInTarget)
}

// FuzzMembers is FuzzUnpack for whole archives, which have anything in their headers.
func FuzzMembers(f *testing.F) {
	for _, tt := range hostile() {
		var three [3]tar.Header
		if copy(three[:], tt.headers) == len(tt.headers) {
			f.Add(three[0].Name, three[0].Linkname, three[0].Typeflag, three[1].Name, three[1].Linkname, three[1].Typeflag, three[2].Name, three[2].Linkname, three[2].Typeflag)
		}
	}
	f.Add("top/a/b/l", "../../x", byte(tar.TypeSymlink), "top/h", "top/a/b/l", byte(tar.TypeLink), "top/h", "", byte(tar.TypeReg))
	f.Fuzz(func(t *testing.T, name1, link1 string, type1 byte, name2, link2 string, type2 byte, name3, link3 string, type3 byte) {
		data, err := tryBuild([]tar.Header{
			{Name: name1, Linkname: link1, Typeflag: type1}, {Name: name2, Linkname: link2, Typeflag: type2}, {Name: name3, Linkname: link3, Typeflag: type3},
		})
		if err != nil {
			return // no header can say that
		}
		staysInTarget(t, data)
	})
}

// staysInTarget unpacks data with Unpack, and what Filter makes of it with a program
// that believes everything. Neither may do anything outside of its target.
func staysInTarget(t *testing.T, data []byte) {
	outer := t.TempDir()
	target := filepath.Join(outer, "target")
	prepare(t, outer)
	_, err := Unpack(bytes.NewReader(data), target, "top", "copy")
	checkOuter(t, outer)
	names := listing(t, target)
	if err != nil && len(names) > 0 {
		t.Fatalf("left after %v: %q", err, names)
	}
	for _, name := range names {
		checkKind(t, filepath.Join(target, name[strings.Index(name, " ")+1:]), target)
	}

	var filtered bytes.Buffer
	if filterErr := Filter(&filtered, bytes.NewReader(data), "top"); filterErr != nil {
		if err == nil {
			t.Errorf("the filter refuses what is unpacked: %v", filterErr)
		}
		return
	}
	naive := t.TempDir()
	prepare(t, naive)
	believe(t, naive, filtered.Bytes())
	checkOuter(t, naive)
	if err != nil {
		return
	}
	again := t.TempDir()
	if _, err := Unpack(&filtered, again, "top", "copy"); err != nil {
		t.Fatalf("the filter makes of what is unpacked what is not: %v", err)
	}
	if got := listing(t, again); !slices.Equal(got, names) {
		t.Errorf("the filter makes %q of %q", got, names)
	}
}

// prepare makes a target, and a file beside it.
func prepare(t *testing.T, outer string) {
	t.Helper()
	err := errors.Join(os.Mkdir(filepath.Join(outer, "target"), 0o755), os.WriteFile(filepath.Join(outer, "victim"), []byte("old"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
}

// checkOuter wants nothing to be there but what prepare made.
func checkOuter(t *testing.T, outer string) {
	t.Helper()
	entries, err := os.ReadDir(outer)
	if err != nil || len(entries) != 2 {
		t.Fatalf("outside: %v, %v", entries, err)
	}
	if text, err := os.ReadFile(filepath.Join(outer, "victim")); err != nil || string(text) != "old" {
		t.Fatalf("written outside: %q, %v", text, err)
	}
}

// checkKind wants a file, a directory, or a link that leads to nothing outside.
func checkKind(t *testing.T, path, target string) {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if kind := info.Mode().Type(); kind&^(fs.ModeDir|fs.ModeSymlink) != 0 || info.Mode()&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky) != 0 {
		t.Errorf("%s is a %v", path, info.Mode())
	}
	if real, err := filepath.EvalSymlinks(path); err == nil && real != target && !strings.HasPrefix(real, target+"/copy") {
		t.Errorf("%s leads to %s", path, real)
	}
}

// believe unpacks an archive into the target as a program does that follows links and
// replaces files. What it cannot do, it leaves. It does not leave outer in any case.
func believe(t *testing.T, outer string, data []byte) {
	t.Helper()
	root, err := os.OpenRoot(outer)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	in := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("the filter makes an archive that cannot be read: %v", err)
		}
		name := "target/" + h.Name
		_ = root.MkdirAll(filepath.Dir(name), 0o755)
		switch h.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(name, 0o755)
		case tar.TypeSymlink:
			err = root.Symlink(h.Linkname, name)
		case tar.TypeLink:
			err = root.Link("target/"+h.Linkname, name)
		default:
			err = root.WriteFile(name, []byte("new"), 0o600)
		}
		if err != nil && strings.Contains(err.Error(), "escapes") {
			t.Errorf("%s leads far out: %v", h.Name, err)
		}
	}
}
