package bottle

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/blang/semver/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/podbottle/podbottle/internal/blueprint"
	"github.com/podbottle/podbottle/internal/config"
	"github.com/podbottle/podbottle/internal/pipelock"
	"github.com/podbottle/podbottle/internal/pod"
	"github.com/podbottle/podbottle/internal/quadlet"
	"github.com/podbottle/podbottle/internal/resolve"
)

var update = flag.Bool("update", false, "write contrib/quadlet anew")

const contrib = "../../contrib/quadlet"

// TestContribIsWhatGenerateWrites makes the units of contrib/quadlet from the
// manifest beside them, with fixed values for what depends on the host.
func TestContribIsWhatGenerateWrites(t *testing.T) {
	bottles := map[string]UnitRequest{
		"fixer": {Spec: resolve.Spec{AgentName: "fixer"}},
		"reviewer": {
			Spec:     resolve.Spec{AgentName: "reviewer"},
			Headless: true, Prompt: "Review what changed since yesterday.", OnCalendar: "Mon..Fri 07:30",
		},
	}
	for name, r := range bottles {
		t.Run(name, func(t *testing.T) {
			want := map[string]string{}
			for _, u := range contribUnits(t, name, r) {
				want[u.Name] = u.Text
			}
			dir := filepath.Join(contrib, name)
			if *update {
				writeContrib(t, dir, want)
			}
			got := map[string]string{}
			files, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				text, err := os.ReadFile(filepath.Join(dir, f.Name()))
				if err != nil {
					t.Fatal(err)
				}
				got[f.Name()] = string(text)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s is not what generate writes (go test -update writes it anew):\n%s", dir, diff)
			}
		})
	}
}

// contribUnits goes the way of podbottle quadlet generate, without a Podman.
func contribUnits(t *testing.T, name string, r UnitRequest) []quadlet.Unit {
	t.Helper()
	home, runtime := t.TempDir(), t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", runtime)
	root := filepath.Join(home, ".bot-bottle")
	if err := os.CopyFS(root, os.DirFS(filepath.Join(contrib, "manifest"))); err != nil {
		t.Fatal(err)
	}
	l := &Launcher{Root: root, Home: home, Cwd: t.TempDir(), Lookup: func(string) (string, bool) { return "", false }, Err: os.Stderr}
	r.Spec.Identity, r.Spec.UserCwd = name, l.Cwd
	r.Term, r.Runtime = "xterm-256color", RuntimeCrun
	r.Firewall = FirewallChoice{Engine: pipelock.EnginePipelock, Image: pipelock.DefaultImage}
	r.Limits = config.Limits{Memory: "4g", Tasks: 4096, CPUs: "2"}
	tree, err := l.unitTree(name)
	if err != nil {
		t.Fatal(err)
	}
	d := &design{wanted: r, tree: tree, launch: &launch{Launcher: l, request: r.request(), units: true}}
	if err := d.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer d.unlock()
	d.runsc = "/usr/local/bin/runsc"
	d.sidecar = pod.Sidecar{Program: filepath.Join(l.dataDir(), "podbottle-sidecar-0123456789abcdef")}
	names := blueprint.Images{Sidecar: "localhost/podbottle-sidecar:0123456789abcdef", Firewall: pipelock.DefaultImage}
	if err := d.write(names, d.standInSecrets(), quadlet.Options{
		Podman: semver.MustParse("5.4.2"), Program: filepath.Join(home, ".local/bin/podbottle"), Home: home, RuntimeRoot: runtime,
		Subnet: netip.MustParsePrefix("10.201.7.0/24"), Runtime: pod.WrapperPath(l.dataDir()), Seccomp: pod.ProfilePath(l.dataDir()), Pids: true,
	}); err != nil {
		t.Fatal(err)
	}
	return d.units
}

func writeContrib(t *testing.T, dir string, units map[string]string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range units {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
