package reload

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/renameio/v2"
)

func TestWatch(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	changed, done := make(chan struct{}, 100), make(chan error, 1)
	go func() {
		done <- Watch(ctx, dir, slog.New(slog.DiscardHandler), func() { changed <- struct{}{} })
	}()
	for range 3 { // the first is without a change
		select {
		case <-changed:
		case <-time.After(2 * time.Minute):
			t.Fatal("nothing is reported")
		}
		if err := renameio.WriteFile(filepath.Join(dir, "file"), []byte("new"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := Watch(t.Context(), filepath.Join(dir, "nowhere"), slog.New(slog.DiscardHandler), func() { t.Error("reported") }); err == nil {
		t.Error("a directory that is not there was watched")
	}
}
