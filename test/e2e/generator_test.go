//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// generator is Quadlet's, as systemd runs it.
const generator = "/usr/lib/systemd/system-generators/podman-system-generator"

// TestTheInstalledGeneratorTakesTheUnits gives the golden units of package
// quadlet to the generator of the Podman that is installed here, and what it
// makes of them to systemd.
func TestTheInstalledGeneratorTakesTheUnits(t *testing.T) {
	leavesNothing(t)
	// systemd looks for the program that units run.
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(home, ".local", "bin", "podbottle")
	if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/src/bin/podbottle", program); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(program) })

	cases, err := filepath.Glob("/src/internal/quadlet/testdata/units/*.txtar")
	if err != nil || len(cases) < 20 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	for _, file := range cases {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		t.Run(name, func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			units, services := t.TempDir(), t.TempDir()
			for _, f := range archive.Files {
				dir := units
				if strings.HasSuffix(f.Name, ".timer") {
					dir = services
				}
				writeFile(t, filepath.Join(dir, f.Name), string(f.Data))
			}
			generate(t, name, units, services)
		})
	}
}

func generate(t *testing.T, name, units, services string) {
	t.Helper()
	// Units for a later Podman have keys that this one does not know.
	newer := strings.HasPrefix(name, "podman-")
	r := command{argv: []string{generator, "--user", "--no-kmsg-log", "--dryrun"}, env: []string{"QUADLET_UNIT_DIRS=" + units}}.run(t)
	if newer {
		if r.status == 0 || !strings.Contains(r.stderr, "unsupported key") {
			t.Errorf("accepted by the installed generator: the key of a later version is none")
		}
		return
	}
	if warnings := withoutNotes(r.stderr); r.status != 0 || warnings != "" {
		t.Fatalf("generator: status %d\n%s", r.status, warnings)
	}
	command{argv: []string{generator, "--user", "--no-kmsg-log", services, services, services}, env: []string{"QUADLET_UNIT_DIRS=" + units}}.succeed(t)
	files, err := filepath.Glob(filepath.Join(services, "bot-bottle-*.[st]*er*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	r = command{argv: append([]string{"systemd-analyze", "--user", "verify"}, files...), env: []string{"SYSTEMD_UNIT_PATH=" + services + ":"}}.run(t)
	if out := r.stdout + r.stderr; r.status != 0 || out != "" {
		t.Errorf("systemd-analyze verify: status %d\n%s", r.status, out)
	}
}

// withoutNotes drops the lines in which the generator says what it reads.
func withoutNotes(text string) string {
	var rest []string
	for _, line := range strings.Split(text, "\n") {
		if line != "" && !strings.Contains(line, "Loading source unit file") {
			rest = append(rest, line)
		}
	}
	return strings.Join(rest, "\n")
}
