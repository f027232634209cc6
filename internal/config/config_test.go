package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/podbottle/podbottle/internal/pipelock"
)

func load(t *testing.T, text string) (Config, error) {
	t.Helper()
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "config.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(root)
}

func TestLoad(t *testing.T) {
	c, err := load(t, `
firewall: {engine: builtin}
require_runsc: true
limits: {memory: 4g, tasks: 100, cpus: 1.5}
images: {agent_base: a, git_gate_base: b}
`)
	want := Config{
		Path: c.Path, Firewall: Firewall{Engine: pipelock.EngineBuiltin}, RequireRunsc: true,
		Limits: Limits{Memory: "4g", Tasks: 100, CPUs: "1.5"}, Images: Images{AgentBase: "a", GitGateBase: "b"},
	}
	if err != nil || c != want {
		t.Errorf("got %+v, %v", c, err)
	}
	root := t.TempDir()
	if c, err := Load(root); err != nil || c != (Config{Path: filepath.Join(root, "config.yaml")}) {
		t.Errorf("without a file: %+v, %v", c, err)
	}
	if c, err := load(t, "# nothing yet\n"); err != nil || c != (Config{Path: c.Path}) {
		t.Errorf("an empty file: %+v, %v", c, err)
	}
}

func TestLoadSaysWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"firewall: {engin: builtin}":         `config.yaml:1: unknown key "engin"`,
		"# a\nrequire_runc: true":            `config.yaml:2: unknown key "require_runc"`,
		"require_runsc: perhaps":             "config.yaml: line 1: cannot unmarshal !!str `perhaps` into bool",
		"firewall: {engine: none}":           `config.yaml: firewall.engine is "none"; it can be pipelock or builtin`,
		"firewall: {binary: pipelock}":       `config.yaml: firewall.binary "pipelock" is not an absolute path`,
		"firewall: {binary: /p, image: i}":   "config.yaml: firewall.image and firewall.binary exclude each other",
		"firewall: [":                        "config.yaml: yaml: line 1: ",
		"a: " + strings.Repeat("x", largest): "config.yaml is larger than 65536 bytes",
	} {
		if _, err := load(t, text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.40s: %v; want %s", text, err, want)
		}
	}
}
