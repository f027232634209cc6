package audit

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMerge(t *testing.T) {
	type record struct {
		Time time.Time `json:"time"`
		Name string    `json:"name"`
	}
	noon := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	file := func(name string, minutes ...int) io.Reader {
		t.Helper()
		path := filepath.Join(t.TempDir(), name)
		w, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range minutes {
			if _, err := w.Append(record{noon.Add(time.Duration(m) * time.Minute), name}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if name == "broken" {
			text = append(text, "nonsense\n"...)
		}
		return strings.NewReader(string(text))
	}
	names := []string{"first", "second", "broken", "empty"}
	var got []string
	var broken *BreakError
	for m := range Merge(file("first", 1, 4, 9), file("second", 2, 3, 8), file("broken", 5, 0), file("empty")) {
		if m.Err != nil {
			if !errors.As(m.Err, &broken) || names[m.File] != "broken" {
				t.Errorf("%s: %v", names[m.File], m.Err)
			}
			continue
		}
		if !strings.Contains(string(m.Line), names[m.File]) {
			t.Errorf("a line of file %s is %s", names[m.File], m.Line)
		}
		got = append(got, names[m.File])
	}
	// The clock went back in the broken one, whose order is kept.
	want := []string{"first", "second", "second", "first", "broken", "broken", "second", "first"}
	if !slices.Equal(got, want) {
		t.Errorf("order %v, want %v", got, want)
	}
	if broken == nil || broken.Line != 3 {
		t.Errorf("the break is not told: %v", broken)
	}
	for range Merge(file("first", 1, 2)) {
		break // does not leave anything running
	}
}
