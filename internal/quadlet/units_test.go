package quadlet

import (
	"bytes"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/podbottle/podbottle/internal/blueprint"
	"github.com/podbottle/podbottle/internal/provider"
	"github.com/podbottle/podbottle/internal/secret"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestUnits compares the units of many bottles with those that were read and
// found right. The end-to-end tests give the same files to the real generator.
func TestUnits(t *testing.T) {
	for _, name := range names() {
		t.Run(name, func(t *testing.T) {
			b, o := build(t, bottles()[name])
			units, err := Units(b, o)
			if err != nil {
				t.Fatal(err)
			}
			var archive txtar.Archive
			for _, u := range units {
				archive.Files = append(archive.Files, txtar.File{Name: u.Name, Data: []byte(u.Text)})
			}
			got, path := txtar.Format(&archive), filepath.Join("testdata", "units", name+".txtar")
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("units differ from %s (go test -update writes them anew):\n%s", path, cmp.Diff(string(want), string(got)))
			}
		})
	}
}

func TestNoSecretIsInAUnit(t *testing.T) {
	for _, name := range names() {
		b, o := build(t, bottles()[name])
		units, err := Units(b, o)
		if err != nil {
			t.Fatal(err)
		}
		snapshot, err := TakeSnapshot(b, o.Subnet)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range units {
			if strings.Contains(u.Text, canary) {
				t.Errorf("%s: %s holds a secret", name, u.Name)
			}
		}
		for _, e := range snapshot.Files {
			if strings.Contains(string(e.Content), canary) {
				t.Errorf("%s: the snapshot holds a secret in %s", name, e.Path)
			}
		}
	}
}

// TestEverySecretIsMountedOnce shows that what the live bottle has as a file of
// secrets, a unit has as a Podman secret in the same place of the same container,
// or the snapshot mints.
func TestEverySecretIsMountedOnce(t *testing.T) {
	b, o := build(t, bottles()["everything"])
	units, err := Units(b, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range b.Files {
		if !strings.Contains(f.Content.Reveal(), canary) {
			continue
		}
		var holders []string
		for _, s := range Secrets(b) {
			if s.Target != secretTarget(f) || !strings.HasPrefix(f.Path, string(s.Service)+"/") {
				continue
			}
			for _, u := range units {
				if strings.Contains(u.Text, "Secret="+s.Name+",") {
					holders = append(holders, u.Name)
				}
			}
		}
		service, _, _ := strings.Cut(f.Path, "/")
		if len(holders) != 1 || holders[0] != UnitName(b.Slug, service)+".container" {
			t.Errorf("%s is mounted by %v", f.Path, holders)
		}
	}
}

func TestSnapshotGivesTheBottlesFilesBack(t *testing.T) {
	b, o := build(t, bottles()["everything"])
	taken, err := TakeSnapshot(b, o.Subnet)
	if err != nil {
		t.Fatal(err)
	}
	text, err := taken.JSON()
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := ParseSnapshot(text)
	if err != nil {
		t.Fatal(err)
	}
	pair := func(name string) blueprint.KeyPair {
		return blueprint.KeyPair{Cert: []byte("cert of " + name), Key: b.Files[0].Content}
	}
	restored, err := snapshot.Bottle(pair("egress"), pair("firewall"))
	if err != nil {
		t.Fatal(err)
	}
	if len(restored.Files) != len(b.Files) || !cmp.Equal(restored.Dirs, b.Dirs) {
		t.Fatalf("%d files and %v instead of %d and %v", len(restored.Files), restored.Dirs, len(b.Files), b.Dirs)
	}
	for i, f := range b.Files {
		got := restored.Files[i]
		if got.Path != f.Path || got.Mode != f.Mode {
			t.Errorf("file %d is %s %v instead of %s %v", i, got.Path, got.Mode, f.Path, f.Mode)
		}
		switch f.Path {
		case "agent/handover/ca-bundle.crt", "egress/secrets/ca.crt":
			if got.Content.Reveal() != "cert of egress" {
				t.Errorf("%s holds %q", f.Path, got.Content.Reveal())
			}
		case "egress/secrets/firewall-ca.crt", "pipelock/secrets/ca.crt":
			if got.Content.Reveal() != "cert of firewall" {
				t.Errorf("%s holds %q", f.Path, got.Content.Reveal())
			}
		}
		if strings.Contains(got.Content.Reveal(), mintedPrefix) {
			t.Errorf("%s holds a stand-in", f.Path)
		}
	}
}

// TestNoFilePassesForAStandIn has a repository's agent, whose prompt and files are its
// own, ask for the keys of the bottle's authorities.
func TestNoFilePassesForAStandIn(t *testing.T) {
	for _, text := range []string{"minted at each start: egress.key", "minted at each start: firewall.key", "egress.key"} {
		b, o := build(t, func(in *inputs) {
			in.options.Home = []provider.File{{Path: "/home/node/.bot-bottle-prompt.txt", Mode: 0o600, Content: []byte(text)}}
		})
		snapshot, err := TakeSnapshot(b, o.Subnet)
		if err != nil {
			t.Fatal(err)
		}
		key := blueprint.KeyPair{Cert: []byte("cert"), Key: secret.New(canary)}
		restored, err := snapshot.Bottle(key, key)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(restored.Files, func(f blueprint.File) bool { return strings.HasSuffix(f.Path, "prompt.txt") })
		if i < 0 || restored.Files[i].Content.Reveal() != text {
			t.Errorf("%q: the prompt is %v of %d files, with another text", text, i, len(restored.Files))
		}
	}
}

func TestOlderPodmanIsRefused(t *testing.T) {
	b, o := build(t, func(in *inputs) { in.units.Podman.Minor = 3 })
	if _, err := Units(b, o); err == nil || !strings.Contains(err.Error(), "5.4") {
		t.Errorf("accepted, or without the version that is needed: %v", err)
	}
}

func TestValuesThatNoUnitCanHoldAreRefused(t *testing.T) {
	tests := map[string]func(*inputs){
		"empty argument":         func(in *inputs) { in.options.Argv = []string{"agent", "", "--flag"} },
		"lone semicolon":         func(in *inputs) { in.options.Argv = []string{"agent", ";", "/bin/evil"} },
		"NUL":                    func(in *inputs) { in.plan.Literals = map[string]string{"A": "a\x00b"} },
		"bytes that are no text": func(in *inputs) { in.options.Argv = []string{"agent", "\xff"} },
		"C1 control":             func(in *inputs) { in.options.Argv = []string{"agent", "\u0080"} },
		"image like an option":   func(in *inputs) { in.plan.RuntimeImage = "--privileged" },
		"image like a unit":      func(in *inputs) { in.plan.RuntimeImage = "registry.example.org/an.image" },
		"image with a newline":   func(in *inputs) { in.plan.RuntimeImage = "a\nPodmanArgs=--privileged" },
		"variable of the host":   func(in *inputs) { in.plan.Literals = map[string]string{"*": "x"} },
		"variable with a blank":  func(in *inputs) { in.plan.Literals = map[string]string{"A B": "x"} },
		"work directory":         func(in *inputs) { in.plan.WorkDir = "/w\nPodmanArgs=--privileged" },
		"trailing backslash":     func(in *inputs) { in.plan.WorkDir = `/w\` },
		"trailing blank":         func(in *inputs) { in.plan.WorkDir = "/w\u00a0" },
		"colon in a host path":   func(in *inputs) { in.options.SidecarProgram = "/home/dev/a:b" },
		"blank in a host path":   func(in *inputs) { in.options.SidecarProgram = "/opt/a b" },
		"calendar": func(in *inputs) {
			bottles()["timer"](in)
			in.units.Headless.OnCalendar = "daily\n[Service]"
		},
		"subnet": func(in *inputs) { in.units.Subnet = netip.MustParsePrefix("10.201.7.0/31") },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			b, o := build(t, change)
			if units, err := Units(b, o); err == nil {
				t.Errorf("accepted: %v", units)
			}
		})
	}
}
