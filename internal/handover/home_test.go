package handover

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCopyHome(t *testing.T) {
	src, home, outside := t.TempDir(), t.TempDir(), t.TempDir()
	write := func(path, text string, mode os.FileMode) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(src, "a", "b"), "new", 0o644)
	write(filepath.Join(src, "tool"), "x", 0o755)
	write(filepath.Join(home, "a", "b"), "old", 0o600)

	if err := copyHome(src, home, keepFile); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(filepath.Join(home, "a", "b")); string(text) != "old" {
		t.Errorf("a file that was to be kept is %q", text)
	}
	if err := copyHome(src, home, replaceFile); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(filepath.Join(home, "a", "b")); string(text) != "new" {
		t.Errorf("a file that was to be replaced is %q", text)
	}
	if info, _ := os.Stat(filepath.Join(home, "tool")); info.Mode().Perm() != 0o700 {
		t.Errorf("an executable has mode %v", info.Mode())
	}

	// What the agent left behind must not lead the copy out of its home.
	if err := os.RemoveAll(filepath.Join(home, "a")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(home, "a")); err != nil {
		t.Fatal(err)
	}
	if err := copyHome(src, home, replaceFile); err == nil {
		t.Error("a directory that is a symbolic link out of home was followed")
	}
	if entries, _ := os.ReadDir(outside); len(entries) > 0 {
		t.Errorf("written outside of home: %v", entries)
	}
	if err := copyHome(filepath.Join(src, "absent"), home, replaceFile); err != nil {
		t.Errorf("without files to hand over: %v", err)
	}
}

func TestReadOnlyFile(t *testing.T) {
	home := t.TempDir()
	root, err := os.OpenRoot(home)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, text := range []string{"first", "second"} { // the second start replaces the first's
		if err := replaceReadOnly(root, "guide", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(filepath.Join(home, "guide"))
	if err != nil || info.Mode().Perm() != 0o400 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if text, _ := os.ReadFile(filepath.Join(home, "guide")); string(text) != "second" {
		t.Errorf("the guide is the earlier one: %q", text)
	}
}

func TestMergeFile(t *testing.T) {
	const patch = `{"servers": {"supervise": {"url": "http://supervise:9100/"}}, "trusted": true}`
	tests := map[string]struct{ name, current, want string }{
		"new":             {"a.json", "", patch},
		"beside others":   {"a.json", `{"servers": {"own": {"url": "x"}}, "trusted": false, "n": 1}`, `{"servers": {"own": {"url": "x"}, "supervise": {"url": "http://supervise:9100/"}}, "trusted": true, "n": 1}`},
		"not a table":     {"a.json", `{"servers": 7}`, patch},
		"there already":   {"a.json", "  " + patch + "\n\n", "  " + patch + "\n\n"},
		"damaged":         {"a.json", `{"servers": `, `{"servers": `},
		"another kind":    {"a.json", `[1]`, `[1]`},
		"null":            {"a.json", `null`, patch},
		"large numbers":   {"a.json", `{"id": 1234567890123456789}`, `{"id": 1234567890123456789, "servers": {"supervise": {"url": "http://supervise:9100/"}}, "trusted": true}`},
		"TOML":            {"a.toml", "n = 1\n[servers.own]\nurl = 'x'\n", ""},
		"TOML, unchanged": {"b.toml", "# a comment\n[servers.supervise]\nurl = 'y'\n", "# a comment\n[servers.supervise]\nurl = 'y'\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			root, err := os.OpenRoot(home)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			path := filepath.Join(home, tt.name)
			if tt.current != "" {
				if err := os.WriteFile(path, []byte(tt.current), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			over := patch
			if strings.HasSuffix(tt.name, ".toml") {
				over = "[servers.supervise]\nurl = 'y'\n"
			}
			if err := mergeFile(root, tt.name, []byte(over), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case tt.name == "a.toml":
				for _, want := range []string{"n = 1", "[servers.own]", "[servers.supervise]"} {
					if !strings.Contains(string(got), want) {
						t.Errorf("%q is missing in:\n%s", want, got)
					}
				}
			case string(got) != tt.want && !sameJSON(t, string(got), tt.want):
				t.Errorf("got %s\nwant %s", got, tt.want)
			}
		})
	}
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var texts [2]string
	for i, text := range []string{a, b} {
		var value any
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.UseNumber()
		if err := decoder.Decode(&value); err != nil {
			return false
		}
		canonical, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		texts[i] = string(canonical)
	}
	return texts[0] == texts[1]
}

// A link of the agent's in the place of its settings is not written through.
func TestMergeFollowsNoLink(t *testing.T) {
	home, outside := t.TempDir(), filepath.Join(t.TempDir(), "x.json")
	if err := os.WriteFile(outside, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(home, "x.json")); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(home)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := mergeFile(root, "x.json", []byte(`{"a": 1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(outside); string(text) != "{}" {
		t.Errorf("written through the link: %s", text)
	}
}
