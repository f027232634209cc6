package bottle

import (
	"archive/tar"
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/podbottle/podbottle/internal/quadlet"
)

func TestCheckUnitName(t *testing.T) {
	for name, good := range map[string]bool{
		"fixer": true, "my-fixer-2": true, "podcast": true, "egress-tester": true,
		"": false, "Fixer": false, "a b": false, "../x": false, "-x": false,
		"fixer-egress": false, "fixer-git-gate": false, "pod": false, "x-internal": false,
	} {
		if err := CheckUnitName(name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestRoutedSubnets(t *testing.T) {
	table := `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	0101A8C0	0003	0	0	100	00000000	0	0	0
eth0	0001A8C0	00000000	0001	0	0	100	00FFFFFF	0	0	0
tun0	0000C00A	00000000	0001	0	0	0	0000C0FF	0	0	0
`
	want := []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24"), netip.MustParsePrefix("10.192.0.0/10")}
	if diff := cmp.Diff(want, routedSubnets(strings.NewReader(table)), cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
}

func TestReplaceUnitsExchangesTheWholeDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "containers", "systemd", "podbottle-x")
	for _, units := range [][]quadlet.Unit{
		{{Name: "a.container", Text: "old"}, {Name: "gone.container", Text: "old"}},
		{{Name: "a.container", Text: "new"}},
	} {
		if err := replaceUnits(dir, units); err != nil {
			t.Fatal(err)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "a.container")); err != nil || string(text) != "new" {
		t.Errorf("%q, %v", text, err)
	}
	if beside, err := os.ReadDir(filepath.Dir(filepath.Dir(dir))); err != nil || len(beside) != 1 {
		t.Errorf("left beside the directory: %v, %v", beside, err)
	}
}

func TestAnImageIsNotMadeFromItself(t *testing.T) {
	r := unitRebuild{name: "fixer"}
	if err := r.check([]byte("FROM debian:trixie\nRUN true\n")); err != nil {
		t.Error(err)
	}
	for _, file := range []string{"FROM localhost/bot-bottle-rebuilt-fixer\n", "FROM debian:trixie\nADD . /\n"} {
		if err := r.check([]byte(file)); err == nil {
			t.Errorf("%q: accepted", file)
		}
	}
}

func TestExtractStaysInItsDirectory(t *testing.T) {
	archive := func(headers ...tar.Header) *bytes.Buffer {
		var out bytes.Buffer
		w := tar.NewWriter(&out)
		for _, h := range headers {
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return &out
	}
	outside := t.TempDir()
	for name, headers := range map[string][]tar.Header{
		"a name that leads out": {{Typeflag: tar.TypeReg, Name: "../x", Mode: 0o600}},
		"through a link":        {{Typeflag: tar.TypeSymlink, Name: "l", Linkname: outside}, {Typeflag: tar.TypeReg, Name: "l/x", Mode: 0o600}},
		"a device":              {{Typeflag: tar.TypeChar, Name: "x"}},
	} {
		if err := extract(archive(headers...), t.TempDir()); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if files, err := os.ReadDir(outside); err != nil || len(files) > 0 {
		t.Errorf("outside there are %v, %v", files, err)
	}
	dir := t.TempDir()
	twice := archive(
		tar.Header{Typeflag: tar.TypeReg, Name: "sub/Containerfile", Mode: 0o600},
		tar.Header{Typeflag: tar.TypeReg, Name: "sub/Containerfile", Mode: 0o644},
	)
	if err := extract(twice, dir); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(filepath.Join(dir, "sub", "Containerfile")); err != nil || info.Mode() != 0o644 {
		t.Error(info, err)
	}
}
