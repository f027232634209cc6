package verify

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/podbottle/podbottle/internal/verify/probe"
)

// TestLoose tells archives that may be passed on from those that may not.
func TestLoose(t *testing.T) {
	file := func(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name} }
	link := func(kind byte, name, target string) tar.Header {
		return tar.Header{Typeflag: kind, Name: name, Linkname: target}
	}
	dir := tar.Header{Typeflag: tar.TypeDir, Name: "archive/"}
	for name, test := range map[string]struct {
		members []tar.Header
		loose   bool
	}{
		"honest":            {[]tar.Header{dir, file("archive/a"), link(tar.TypeSymlink, "archive/s/l", "../a"), link(tar.TypeLink, "archive/h", "archive/a")}, false},
		"absolute":          {[]tar.Header{file("/archive/a")}, true},
		"dot-dot":           {[]tar.Header{file("archive/../archive/a")}, true},
		"another top":       {[]tar.Header{dir, file("archives")}, true},
		"link out":          {[]tar.Header{link(tar.TypeSymlink, "archive/l", "../a")}, true},
		"absolute link":     {[]tar.Header{link(tar.TypeSymlink, "archive/l", "/archive/a")}, true},
		"through a link":    {[]tar.Header{link(tar.TypeSymlink, "archive/l", "a"), file("archive/l/b")}, true},
		"over a link":       {[]tar.Header{link(tar.TypeSymlink, "archive/l", "a"), file("archive/l")}, true},
		"hard link out":     {[]tar.Header{link(tar.TypeLink, "archive/h", "a")}, true},
		"hard link to link": {[]tar.Header{link(tar.TypeSymlink, "archive/l", "a"), link(tar.TypeLink, "archive/h", "archive/l")}, true},
		"device":            {[]tar.Header{{Typeflag: tar.TypeChar, Name: "archive/a"}}, true},
		"setuid":            {[]tar.Header{{Typeflag: tar.TypeReg, Name: "archive/a", Mode: 0o4755}}, true},
	} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range test.members {
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if got := loose(b.Bytes()); (got != "") != test.loose {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestTouched changes what lies beside a target in each way.
func TestTouched(t *testing.T) {
	for name, touch := range map[string]func(target) error{
		"written": func(t target) error {
			return os.WriteFile(filepath.Join(t.outside, probe.Victim), []byte("new"), 0o600)
		},
		"removed":         func(t target) error { return os.Remove(filepath.Join(t.outside, probe.Victim)) },
		"one more":        func(t target) error { return os.Mkdir(filepath.Join(t.outside, "x"), 0o700) },
		"one more beside": func(t target) error { return os.Mkdir(filepath.Join(filepath.Dir(t.dir), "x"), 0o700) },
	} {
		target, err := newTarget(filepath.Join(t.TempDir(), "x"))
		if err != nil || target.touched() != "" {
			t.Fatalf("%v, %s", err, target.touched())
		}
		if err := touch(target); err != nil || target.touched() == "" {
			t.Errorf("%s is not noticed: %v", name, err)
		}
	}
}
