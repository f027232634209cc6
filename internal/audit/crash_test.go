package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/podbottle/podbottle/internal/crashtest"
)

const crashFile = "audit.jsonl"

func TestMain(m *testing.M) {
	crashtest.Main(m, map[string]func(dir string) error{"append": func(dir string) error {
		w, err := Open(filepath.Join(dir, crashFile))
		if err != nil {
			return err
		}
		for i := range 3 {
			if _, err := w.Append(entry{fmt.Sprint("appended ", i)}); err != nil {
				return err
			}
		}
		return w.Close()
	}})
}

// A writer that is killed leaves a chain that is verified as it is, and that the
// next writer goes on with.
func TestKilledWriter(t *testing.T) {
	prepare := func(dir string) { write(t, filepath.Join(dir, crashFile), "before") }
	longest := 0
	points := crashtest.Each(t, "append", prepare, func(dir string, point int) {
		path := filepath.Join(dir, crashFile)
		n, err := verifyFile(t, path)
		if err != nil || n < 1 || n > 4 || n < longest {
			t.Errorf("killed at %d: %d lines, %v", point, n, err)
		}
		longest = n
		write(t, path, "after")
		if again, err := verifyFile(t, path); err != nil || again != n+1 {
			t.Errorf("killed at %d: %d lines after the next writer, %v; want %d", point, again, err, n+1)
		}
	})
	if points < 6 || longest != 4 {
		t.Errorf("killed at %d points, %d lines in the end", points, longest)
	}
}

// A power failure leaves any part of the file. Opening it keeps every whole line.
func TestCutAnywhere(t *testing.T) {
	path := filepath.Join(t.TempDir(), crashFile)
	write(t, path, "one", "two", "three")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for length := range len(whole) {
		if err := os.WriteFile(path, whole[:length], 0o600); err != nil {
			t.Fatal(err)
		}
		write(t, path, "next")
		want := strings.Count(string(whole[:length]), "\n") + 1
		if n, err := verifyFile(t, path); err != nil || n != want {
			t.Errorf("cut to %d bytes: %d lines, %v; want %d", length, n, err, want)
		}
	}
}

// On a full disk a record is refused whole, and written once there is room.
func TestFullDisk(t *testing.T) {
	crashtest.FullDisk(t, func(dir string, fill, free func()) {
		path := filepath.Join(dir, crashFile)
		w, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Append(entry{"before"}); err != nil {
			t.Fatal(err)
		}
		fill()
		written := 1
		for ; ; written++ { // there is room in the page that was begun
			if _, err = w.Append(entry{strings.Repeat("x", 1000)}); err != nil {
				break
			}
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("on a full disk: %v", err)
		}
		if n, err := verifyFile(t, path); err != nil || n != written {
			t.Errorf("on a full disk: %d lines, %v; want %d", n, err, written)
		}
		free()
		if _, err := w.Append(entry{"after"}); err != nil {
			t.Error(err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		if n, err := verifyFile(t, path); err != nil || n != written+1 {
			t.Errorf("with room again: %d lines, %v; want %d", n, err, written+1)
		}
	})
}
