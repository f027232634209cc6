package firewall

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/pipelock"
)

// TestReload replaces the configuration under connections that stay open.
func TestReload(t *testing.T) {
	w := newWall(t, nil)
	dir := t.TempDir()
	r := &reloader{firewall: w.firewall, file: filepath.Join(dir, "pipelock.yaml"), status: filepath.Join(dir, "status")}
	load := func(content []byte) pipelock.Status {
		t.Helper()
		if err := os.WriteFile(r.file, content, 0o644); err != nil {
			t.Fatal(err)
		}
		r.load()
		text, err := os.ReadFile(r.status)
		if err != nil {
			t.Fatal(err)
		}
		var s pipelock.Status
		if err := json.Unmarshal(text, &s); err != nil || s.SHA256 != egress.Fingerprint(content) {
			t.Fatalf("the report is %s (%v)", text, err)
		}
		return s
	}
	passes := func(host string) bool {
		res, _, err := w.post(host, "/", nil, nil)
		return err == nil && res.StatusCode == http.StatusOK
	}
	config := func(hosts ...string) []byte {
		c := pipelock.NewConfig(nil)
		c.APIAllowlist = hosts
		data, err := c.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	if !passes("a.example.org") || passes("new.wild.example.net") {
		t.Fatal("it does not begin with its configuration")
	}
	if s := load(config("b.wild.example.org")); s.Error != "" {
		t.Errorf("refused: %s", s.Error)
	}
	if passes("a.example.org") || !passes("b.wild.example.org") {
		t.Error("the new configuration is not in force, also on a connection that was open before")
	}
	for name, bad := range map[string][]byte{"no YAML": []byte("{"), "empty": {}, "another mode": []byte("version: 1\nmode: audit\nenforce: true\n")} {
		if s := load(bad); s.Error == "" {
			t.Errorf("%s: taken", name)
		}
		if passes("a.example.org") || !passes("b.wild.example.org") {
			t.Errorf("%s: the configuration before is not in force", name)
		}
	}
	if err := os.Remove(r.file); err != nil {
		t.Fatal(err)
	}
	r.load()
	if passes("a.example.org") || !passes("b.wild.example.org") {
		t.Error("without a file: the configuration before is not in force")
	}
	if s := load(config("a.example.org")); s.Error != "" || !passes("a.example.org") {
		t.Errorf("a good one after bad ones: %+v", s)
	}
}
