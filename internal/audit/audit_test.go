package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

type entry struct {
	Host string `json:"host"`
}

func write(t *testing.T, path string, hosts ...string) {
	t.Helper()
	w, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range hosts {
		if _, err := w.Append(entry{host}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func verifyFile(t *testing.T, path string) (int, error) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return Verify(f)
}

func TestChainGoesOnAfterReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	write(t, path, "a", "b")
	write(t, path, "c")
	if n, err := verifyFile(t, path); n != 3 || err != nil {
		t.Fatalf("Verify = %d, %v; want 3", n, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, %v; want 0644", info.Mode(), err)
	}
}

func TestVerifySaysWhereTheChainBreaks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	write(t, path, "one", "two", "three", "four")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(whole, []byte("\n"))[:4]
	tests := []struct {
		name  string
		file  []byte
		line  int // where it breaks; 0 for a valid chain
		valid int
	}{
		{"untouched", whole, 0, 4},
		{"empty", nil, 0, 0},
		{"one line edited", bytes.Replace(whole, []byte("two"), []byte("TWO"), 1), 3, 2},
		{"last line edited", bytes.Replace(whole, []byte(`"prev":"`), []byte(`"prev":"0`), 1), 1, 0},
		{"one line removed", bytes.Join([][]byte{lines[0], lines[2], lines[3]}, nil), 2, 1},
		{"the first line removed", bytes.Join(lines[1:], nil), 1, 0},
		{"two lines swapped", bytes.Join([][]byte{lines[0], lines[2], lines[1], lines[3]}, nil), 2, 1},
		{"a line doubled", bytes.Join([][]byte{lines[0], lines[0], lines[1]}, nil), 2, 1},
		{"a line that is no JSON", append(bytes.Clone(lines[0]), "hello\n"...), 2, 1},
		{"torn at the end", whole[:len(whole)-3], 4, 3},
		{"over-long line", append(bytes.Clone(lines[0]), bytes.Repeat([]byte("x"), maxLine+1)...), 2, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n, err := Verify(bytes.NewReader(tt.file))
			if n != tt.valid {
				t.Errorf("%d valid lines, want %d", n, tt.valid)
			}
			var broken *BreakError
			switch {
			case tt.line == 0 && err != nil:
				t.Errorf("error %v", err)
			case tt.line > 0 && (!errors.As(err, &broken) || broken.Line != tt.line):
				t.Errorf("error %v, want a break at line %d", err, tt.line)
			}
		})
	}
}

func TestOpenCutsATornLineAndSaysSo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	write(t, path, "a", "b")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, whole[:len(whole)-5], 0o644); err != nil {
		t.Fatal(err)
	}
	w, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if w.Torn == 0 {
		t.Error("Torn is 0")
	}
	if _, err := w.Append(entry{"c"}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := verifyFile(t, path); n != 2 || err != nil {
		t.Errorf("Verify = %d, %v; want 2", n, err)
	}
}

func TestOpenRefusesABrokenChainAndASecondWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	write(t, path, "a", "b")
	w, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); !errors.Is(err, ErrLocked) {
		t.Errorf("second writer: %v, want ErrLocked", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(whole, []byte(`"a"`), []byte(`"A"`), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	var broken *BreakError
	if _, err := Open(path); !errors.As(err, &broken) || broken.Line != 2 {
		t.Errorf("broken chain: %v, want a break at line 2", err)
	}
}

func TestAppendRefusesWhatIsNoObject(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	w, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, record := range []any{"text", 3, nil, entry{strings.Repeat("x", maxLine)}} {
		if _, err := w.Append(record); err == nil {
			t.Errorf("Append(%.10v) succeeded", record)
		}
	}
	if _, err := w.Append(struct{}{}); err != nil {
		t.Errorf("empty object: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := verifyFile(t, path); n != 1 || err != nil {
		t.Errorf("Verify = %d, %v; want 1", n, err)
	}
}

func TestAppendFromManyGoroutinesWhileFollowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	const writers, each = 8, 50
	done := errors.New("all seen")
	followed := make(chan error, 1)
	go func() {
		n := 0
		followed <- Follow(context.Background(), path, func([]byte) error {
			if n++; n == writers*each {
				return done
			}
			return nil
		})
	}()
	w, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range writers {
		group.Go(func() {
			for j := range each {
				if _, err := w.Append(entry{fmt.Sprint(i, j)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if err := <-followed; !errors.Is(err, done) {
		t.Errorf("Follow: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := verifyFile(t, path); n != writers*each || err != nil {
		t.Errorf("Verify = %d, %v", n, err)
	}
}
