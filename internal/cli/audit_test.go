package cli

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/podbottle/podbottle/internal/audit"
	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/supervise"
)

// A sidecar that writes nonsense into its own audit file, with hashes that hold, must not
// hide what another one wrote.
func TestAuditGoesOnWithOtherFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, records ...any) string {
		t.Helper()
		path := filepath.Join(dir, name)
		w, err := audit.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		for _, record := range records {
			if _, err := w.Append(record); err != nil {
				t.Fatal(err)
			}
		}
		return path
	}
	now := time.Now()
	files := []auditFile{
		{"proposals", write("proposals", map[string]any{"time": now.Add(-time.Hour), "slug": 3}), parseRecord[supervise.Record]},
		{"egress", write("egress", egress.Record{Time: now, Host: "later.example"}), parseRecord[egress.Record]},
	}
	var out, problems bytes.Buffer
	if err := (auditFlags{}).showAll(&out, files); err == nil || !strings.Contains(out.String(), "later.example") {
		t.Errorf("shown: %q, %v", &out, err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Minute)
	defer stop()
	r, w := io.Pipe()
	followed := make(chan error, 1)
	go func() { followed <- auditFlags{}.followAll(ctx, w, &problems, files) }()
	line := make([]byte, 4096)
	n, err := r.Read(line)
	if err != nil || !strings.Contains(string(line[:n]), "later.example") {
		t.Errorf("followed: %q, %v", line[:n], err)
	}
	stop()
	if err := <-followed; err == nil || !strings.Contains(problems.String(), "proposals is followed no more") {
		t.Errorf("%v, said: %q", err, &problems)
	}
}
