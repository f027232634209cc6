package ready

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMarkers(t *testing.T) {
	dir := t.TempDir()
	for range 2 { // both are repeatable
		if err := Mark(dir, Service); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, Service)); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := Clear(dir, Service, Agent); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, Service)); !os.IsNotExist(err) {
		t.Errorf("the marker is still there: %v", err)
	}
	if err := Mark(filepath.Join(dir, "nowhere"), Service); err == nil {
		t.Error("a marker was made in a directory that is not there")
	}
}
