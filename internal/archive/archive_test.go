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
	"syscall"
	"testing"
	"time"
)

// build makes an archive; content is that of every file.
func build(t testing.TB, content string, headers ...tar.Header) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range headers {
		if h.Mode == 0 && h.Typeflag != tar.TypeXGlobalHeader {
			h.Mode = 0o644
		}
		if h.Typeflag == 0 || h.Typeflag == tar.TypeReg {
			h.Typeflag, h.Size = tar.TypeReg, int64(len(content))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := io.WriteString(w, content); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// listing gives one line an entry below dir, with type and permissions.
func listing(t testing.TB, dir string) []string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		lines = append(lines, info.Mode().String()+" "+name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func link(name, target string) tar.Header {
	return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target}
}

// hostile are archives of an agent that wants out, with what the refusal says.
func hostile() map[string]struct {
	headers []tar.Header
	refusal string
} {
	file := func(name string) tar.Header { return tar.Header{Name: name} }
	dir := func(name string) tar.Header { return tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755} }
	of := func(kind byte) tar.Header { return tar.Header{Typeflag: kind, Name: "top/x"} }
	return map[string]struct {
		headers []tar.Header
		refusal string
	}{
		"dot-dot":                    {[]tar.Header{dir("top/"), file("top/../../x")}, "dot-dot"},
		"dot-dot that cancels out":   {[]tar.Header{file("top/a/../b")}, "dot-dot"},
		"absolute":                   {[]tar.Header{file("/etc/x")}, "not relative"},
		"another name":               {[]tar.Header{file("top"), file("topper")}, "not what was asked for"},
		"link out":                   {[]tar.Header{dir("top/"), link("top/l", "../x")}, "leads out"},
		"link to its tree's name":    {[]tar.Header{dir("top/"), link("top/l", "../top/x")}, "leads out"},
		"absolute link":              {[]tar.Header{link("top/l", "/etc/passwd")}, "leads out"},
		"the top is a link":          {[]tar.Header{link("top", "x")}, "leads out"},
		"empty link":                 {[]tar.Header{link("top/l", ".."), file("x")}, "leads out"},
		"link through a link":        {[]tar.Header{link("top/a/b/up", "../.."), link("top/l", "a/b/up/..")}, "leads out"},
		"file through a link":        {[]tar.Header{dir("top/a/"), link("top/l", "a"), file("top/l/x")}, "exists"},
		"directory through a link":   {[]tar.Header{dir("top/a/"), link("top/l", "a"), dir("top/l/x/")}, "exists"},
		"file over a link":           {[]tar.Header{link("top/l", "x"), file("top/l")}, "exists"},
		"link over a directory":      {[]tar.Header{dir("top/a/"), link("top/a", "x"), file("top/a/y")}, "exists"},
		"hard link out":              {[]tar.Header{{Typeflag: tar.TypeLink, Name: "top/h", Linkname: "../x"}}, "hard link"},
		"absolute hard link":         {[]tar.Header{{Typeflag: tar.TypeLink, Name: "top/h", Linkname: "/etc/passwd"}}, "hard link"},
		"hard link to another tree":  {[]tar.Header{{Typeflag: tar.TypeLink, Name: "top/h", Linkname: "x"}}, "hard link"},
		"hard link to a link":        {[]tar.Header{link("top/l", "x"), {Typeflag: tar.TypeLink, Name: "top/h", Linkname: "top/l"}}, "no file"},
		"hard link through a link":   {[]tar.Header{dir("top/a/"), link("top/l", "a"), {Typeflag: tar.TypeLink, Name: "top/h", Linkname: "top/l/none"}}, "no directory"},
		"block device":               {[]tar.Header{of(tar.TypeBlock)}, "device"},
		"character device":           {[]tar.Header{of(tar.TypeChar)}, "device"},
		"pipe":                       {[]tar.Header{of(tar.TypeFifo)}, "pipe"},
		"unknown kind":               {[]tar.Header{of('Z')}, "type 'Z'"},
		"no name":                    {[]tar.Header{file("./")}, ""},
		"nothing":                    {nil, "does not hold"},
		"a file below a file":        {[]tar.Header{file("top/x"), file("top/x/y")}, "exists"},
		"the same file twice":        {[]tar.Header{file("top/x"), file("top/x")}, "exists"},
		"a good file before bad one": {[]tar.Header{file("top/good"), file("../bad")}, "dot-dot"},
	}
}

func TestHostileArchives(t *testing.T) {
	for name, tt := range hostile() {
		t.Run(name, func(t *testing.T) {
			outer := t.TempDir()
			target := filepath.Join(outer, "target")
			if err := os.Mkdir(target, 0o755); err != nil {
				t.Fatal(err)
			}
			data, err := tryBuild(tt.headers)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Unpack(bytes.NewReader(data), target, "top", "top")
			if err == nil || !strings.Contains(err.Error(), tt.refusal) {
				t.Errorf("got %v, want an error with %q", err, tt.refusal)
			}
			if got := listing(t, outer); len(got) != 1 {
				t.Errorf("something is left: %q", got)
			}
		})
	}
}

func tryBuild(headers []tar.Header) (data []byte, err error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range headers {
		h.Mode = 0o644
		if err := w.WriteHeader(&h); err != nil {
			return nil, err
		}
	}
	err = w.Close()
	return buf.Bytes(), err
}

func TestUnpack(t *testing.T) {
	target := t.TempDir()
	when := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	data := build(
		t, "text",
		tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "git's"}},
		tar.Header{Typeflag: tar.TypeDir, Name: "top/", Mode: 0o2555, ModTime: when},
		tar.Header{Name: "top/suid", Mode: 0o6755, ModTime: when, Uid: 0, Uname: "root"},
		tar.Header{Name: "top/without/parents", Mode: 0o600},
		tar.Header{Typeflag: tar.TypeLink, Name: "top/hard", Linkname: "top/suid"},
		link("top/without/up", "../suid"),
		link("top/in", "without/parents"),
		link("top/dangling", "none"),
	)
	report, err := Unpack(bytes.NewReader(data), target, "top", "copy")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"drwxr-xr-x copy", "Lrwxrwxrwx copy/dangling", "-rwxr-xr-x copy/hard", "Lrwxrwxrwx copy/in", "-rwxr-xr-x copy/suid",
		"drwxr-xr-x copy/without", "-rw------- copy/without/parents", "Lrwxrwxrwx copy/without/up",
	}
	if got := listing(t, target); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for _, name := range []string{"copy", "copy/suid"} {
		if info, err := os.Stat(filepath.Join(target, name)); err != nil || !info.ModTime().Equal(when) {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if report.Files != 6 || report.Bytes != 8 {
		t.Errorf("%+v", report)
	}
}

// A name that no path can have is refused before a directory of it is made.
func TestLongName(t *testing.T) {
	target := t.TempDir()
	data := build(t, "", tar.Header{Name: "top/" + strings.Repeat("a/", 1<<18) + "x"})
	if _, err := Unpack(bytes.NewReader(data), target, "top", "top"); err == nil || !strings.Contains(err.Error(), "more than a path can have") {
		t.Errorf("error: %v", err)
	}
	if got := listing(t, target); len(got) > 0 {
		t.Errorf("left: %q", got)
	}
}

// archive/tar writes no sparse files but reads them, expanded.
func TestSparse(t *testing.T) {
	for name, h := range map[string]tar.Header{
		"GNU": {Typeflag: tar.TypeGNUSparse, Name: "top/s"},
		"PAX": {Typeflag: tar.TypeReg, Name: "top/s", PAXRecords: map[string]string{"GNU.sparse.major": "1"}},
	} {
		if _, err := check(&h, "top"); err == nil || !strings.Contains(err.Error(), "sparse") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A file that is a hole at its other end is refused before the disk is full.
func TestLargerThanTheDisk(t *testing.T) {
	var data bytes.Buffer
	if err := tar.NewWriter(&data).WriteHeader(&tar.Header{Name: "top", Typeflag: tar.TypeReg, Mode: 0o644, Size: 1 << 60}); err != nil {
		t.Fatal(err)
	}
	target := t.TempDir()
	if _, err := Unpack(&data, target, "top", "top"); err == nil || !strings.Contains(err.Error(), "free") {
		t.Errorf("error: %v", err)
	}
	if got := listing(t, target); len(got) > 0 {
		t.Errorf("left: %q", got)
	}
}

// An archive that ends early is not taken for a whole one, wherever it ends.
func TestCutShort(t *testing.T) {
	data := build(t, strings.Repeat("x", 700), tar.Header{Name: "top/a"}, tar.Header{Name: "top/b"})
	for size := range len(data) {
		if edge := size % 512; edge != 0 && edge != 1 && edge != 511 && size%100 != 0 {
			continue // inside of a block one place is like another
		}
		target := t.TempDir()
		if _, err := Unpack(bytes.NewReader(data[:size]), target, "top", "top"); err == nil {
			t.Fatalf("the first %d of %d bytes pass for the archive", size, len(data))
		}
		if got := listing(t, target); len(got) > 0 {
			t.Fatalf("after %d bytes: %q", size, got)
		}
		if Filter(io.Discard, bytes.NewReader(data[:size]), "top") == nil {
			t.Fatalf("the first %d of %d bytes pass the filter", size, len(data))
		}
	}
}

func TestWhatIsThereAlready(t *testing.T) {
	file := build(t, "new", tar.Header{Name: "a"})
	dir := build(t, "new", tar.Header{Name: "a/b"})
	tests := map[string]struct {
		there string // "" a file, "/" a directory, otherwise a link to it
		data  []byte
		ok    bool
	}{
		"a file over a file":       {"", file, true},
		"a file over a directory":  {"/", file, false},
		"a file over a link":       {"victim", file, false},
		"a directory over a file":  {"", dir, false},
		"a directory over another": {"/", dir, false},
		"a directory over a link":  {".", dir, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			target := t.TempDir()
			path := filepath.Join(target, "x")
			err := os.WriteFile(filepath.Join(target, "victim"), []byte("old"), 0o600)
			switch tt.there {
			case "":
				err = errors.Join(err, os.WriteFile(path, []byte("old"), 0o600))
			case "/":
				err = errors.Join(err, os.Mkdir(path, 0o700))
			default:
				err = errors.Join(err, os.Symlink(tt.there, path))
			}
			if err != nil {
				t.Fatal(err)
			}
			before := listing(t, target)
			if _, err := Unpack(bytes.NewReader(tt.data), target, "a", "x"); (err == nil) != tt.ok {
				t.Errorf("%v", err)
			}
			if text, _ := os.ReadFile(filepath.Join(target, "victim")); string(text) != "old" {
				t.Errorf("written through the link: %q", text)
			}
			if after := listing(t, target); !tt.ok && !slices.Equal(before, after) {
				t.Errorf("before %q, after %q", before, after)
			}
		})
	}
}

// Of several members at the top either all come or none.
func TestSeveralAtTheTop(t *testing.T) {
	target := t.TempDir()
	data := build(t, "new", tar.Header{Typeflag: tar.TypeDir, Name: "./"}, tar.Header{Name: "./a"}, tar.Header{Name: "z"})
	if err := os.WriteFile(filepath.Join(target, "z"), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Unpack(bytes.NewReader(data), target, "", ""); err == nil {
		t.Error("a file that is there was replaced")
	}
	if got := listing(t, target); !slices.Equal(got, []string{"-rw------- z"}) {
		t.Errorf("half of it came: %q", got)
	}
	if err := os.Remove(filepath.Join(target, "z")); err != nil {
		t.Fatal(err)
	}
	if _, err := Unpack(bytes.NewReader(data), target, "", ""); err != nil {
		t.Fatal(err)
	}
	if got := listing(t, target); !slices.Equal(got, []string{"-rw-r--r-- a", "-rw-r--r-- z"}) {
		t.Errorf("%q", got)
	}
}

// What Pack writes Unpack takes, and it is the same afterwards.
func TestThereAndBack(t *testing.T) {
	source := filepath.Join(t.TempDir(), "source")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(source, "a", "b"), 0o755))
	must(os.WriteFile(filepath.Join(source, "a", "b", "f"), []byte("content"), 0o640))
	must(os.WriteFile(filepath.Join(source, "run"), nil, 0o755))
	must(os.Symlink("a/b/f", filepath.Join(source, "in")))
	must(os.Symlink("/etc/passwd", filepath.Join(source, "out")))
	must(syscall.Mkfifo(filepath.Join(source, "pipe"), 0o600))
	must(os.MkdirAll(filepath.Join(source, "latin-1 \xfc"), 0o755))
	must(os.WriteFile(filepath.Join(source, "latin-1 \xfc", "\xe9"), nil, 0o644))
	var buf, filtered bytes.Buffer
	var left []string
	must(Pack(&buf, source, "top", func(path string) { left = append(left, path) }))
	if !slices.Equal(left, []string{"out", "pipe"}) {
		t.Errorf("left out: %q", left)
	}
	must(Filter(&filtered, &buf, "top"))
	target := t.TempDir()
	if _, err := Unpack(&filtered, target, "top", "copy"); err != nil {
		t.Fatal(err)
	}
	must(os.Remove(filepath.Join(source, "out")))
	must(os.Remove(filepath.Join(source, "pipe")))
	if got, want := listing(t, filepath.Join(target, "copy")), listing(t, source); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if text, _ := os.ReadFile(filepath.Join(target, "copy", "in")); string(text) != "content" {
		t.Errorf("content %q", text)
	}
}

func TestPackRefuses(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.Symlink("/etc", filepath.Join(dir, "link")), syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"link": "symbolic link", "pipe": "neither a file", "none": "no such file"} {
		var buf bytes.Buffer
		err := Pack(&buf, filepath.Join(dir, name), "top", func(string) {})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Unpack(&buf, t.TempDir(), "top", "top"); err == nil {
			t.Errorf("%s: what was packed passes for an archive", name)
		}
	}
}

// A file that goes while a tree is read is not in the copy, and no error.
func TestRemovedMeanwhile(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "e"} {
		path := filepath.Join(dir, "tree", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(filepath.Join(dir, "tree"))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	var buf bytes.Buffer
	w, tree := tar.NewWriter(&buf), Tree{Root: root}
	err = tree.Walk(func(e Entry) error {
		switch e.Path {
		case "a": // before it is read
			if err := root.Remove("a"); err != nil {
				t.Fatal(err)
			}
		case "b": // before the next is looked at
			if err := root.Remove("e"); err != nil {
				t.Fatal(err)
			}
		}
		return tree.Write(w, "top/"+e.Path, e)
	}, func(string) {})
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	target := t.TempDir()
	if _, err := Unpack(&buf, target, "top", "top"); err != nil {
		t.Fatal(err)
	}
	if got := listing(t, target); !slices.Equal(got, []string{"drwxr-xr-x top", "-rw------- top/b"}) {
		t.Errorf("%q", got)
	}
}

// What changes between listing and copying must give an error and no foreign content.
func TestReplacedByLink(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"secret": "SECRET", "tree/a": "1", "tree/b": "3"} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(filepath.Join(dir, "tree"))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	var buf bytes.Buffer
	w, tree := tar.NewWriter(&buf), Tree{Root: root}
	err = tree.Walk(func(e Entry) error {
		if e.Path == "b" {
			if err := errors.Join(root.Remove("b"), root.Symlink("../secret", "b")); err != nil {
				t.Fatal(err)
			}
		}
		return tree.Write(w, e.Path, e)
	}, func(string) {})
	if err == nil || strings.Contains(buf.String(), "SECRET") {
		t.Errorf("%v: %q", err, buf.String())
	}
}

func TestFilterSeesLinks(t *testing.T) {
	data := build(t, "", tar.Header{Typeflag: tar.TypeDir, Name: "top/a/b/", Mode: 0o755}, link("top/a/b/s", "../.."), link("top/a/b/s/l", "../../../x"))
	if err := Filter(io.Discard, bytes.NewReader(data), "top"); err == nil || !strings.Contains(err.Error(), "below the link") {
		t.Errorf("%v", err)
	}
}

func TestSettings(t *testing.T) {
	for name, want := range map[string]bool{
		"w/.git/config": true, "w/.git/hooks/post-checkout": true, "w/.git/hooks/pre-push.sample": false, "w/.git/HEAD": false,
		"w/.git/modules/m/config": true, "bare.git/hooks/update": true, "w/.vscode/tasks.json": true, "w/.envrc": true,
		"w/.claude/settings.json": true, "w/config": false, "w/src/main.go": false, ".mcp.json": true,
		"w/.git": true, "w/meta/HEAD": true, "w/.git/modules/m/HEAD": false, "HEAD": true,
	} {
		if isSetting(name) != want {
			t.Errorf("%s: %t", name, !want)
		}
	}
}

func TestSettingsBehindLinks(t *testing.T) {
	var r Report
	for _, name := range []string{"w/.vscode", "w/meta/hooks", "w/.git", "w/other"} {
		r.add(member{name: name, kind: symlink, target: "x"}, 0)
	}
	for range maxSettings {
		r.add(member{name: "w/.npmrc", kind: file}, 1)
	}
	if len(r.Settings) != maxSettings || !slices.Equal(r.Settings[:4], []string{"w/.vscode", "w/meta/hooks", "w/.git", "w/.npmrc"}) || r.Unlisted != 3 {
		t.Errorf("%q and %d more", r.Settings, r.Unlisted)
	}
}

func TestPlace(t *testing.T) {
	dir := t.TempDir()
	for dest, want := range map[string][2]string{
		dir: {dir, "base"}, dir + "/": {dir + "/", "base"}, dir + "/new": {dir, "new"},
	} {
		if parent, name, err := Place(dest, "base"); err != nil || parent != want[0] || name != want[1] {
			t.Errorf("%s: %s, %s, %v", dest, parent, name, err)
		}
	}
	if _, _, err := Place(dir+"/none/", "base"); err == nil {
		t.Error("a directory that is not there is no target")
	}
}
