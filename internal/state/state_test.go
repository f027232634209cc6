package state

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestRoot(t *testing.T) {
	tests := []struct {
		name, variable, home, want string
		fails                      bool
	}{
		{name: "default", home: "/home/u", want: "/home/u/.bot-bottle"},
		{name: "moved", variable: "/srv/bottles/", home: "/home/u", want: "/srv/bottles"},
		{name: "relative", variable: "bottles", home: "/home/u", fails: true},
		{name: "no home", fails: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			lookup := func(name string) (string, bool) { return tt.variable, name == RootVariable && tt.variable != "" }
			got, err := Root(lookup, tt.home)
			if got != tt.want || (err != nil) != tt.fails {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestValidSlug(t *testing.T) {
	for slug, want := range map[string]bool{
		"fixer-abc12": true, "a": true, "0-a": true,
		"": false, "-a": false, "a/b": false, "..": false, "A": false, "a.b": false, "a b": false, "a\n": false,
		"a234567890123456789012345678901234567890123456789": false,
	} {
		if got := ValidSlug(slug); got != want {
			t.Errorf("%q: %v", slug, got)
		}
	}
}

// A file must never be there with more permissions or with half of its content.
func TestWriteFile(t *testing.T) {
	for name, write := range map[string]func(string, []byte) error{"WriteFile": WriteFile, "WriteDraft": WriteDraft} {
		t.Run(name, func(t *testing.T) { testWrite(t, write) })
	}
}

func testWrite(t *testing.T, write func(string, []byte) error) {
	path := filepath.Join(t.TempDir(), "secret")
	content := [][]byte{make([]byte, 1<<20), make([]byte, 1<<19)}
	if err := write(path, content[0]); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		for i := range 50 {
			if err := write(path, content[i%2]); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for running := true; running; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			running = false
		default:
		}
		entries, err := os.ReadDir(filepath.Dir(path))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			info, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue // a temporary file that has become the file
			}
			if err != nil || info.Mode() != 0o600 {
				t.Fatalf("%s: %v, %v", e.Name(), info.Mode(), err)
			}
			if size := info.Size(); e.Name() == "secret" && size != 1<<20 && size != 1<<19 {
				t.Fatalf("%d bytes", size)
			}
		}
	}
}

// A directory is there as it was, or as it is to be, and nothing is left beside it.
func TestReplaceDir(t *testing.T) {
	beside := t.TempDir()
	dir := filepath.Join(beside, "dir")
	names := func(of string) (names []string) {
		entries, err := os.ReadDir(of)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	replace := func(failure error, files ...string) error {
		return ReplaceDir(dir, beside, func(fresh string) error {
			for _, name := range files {
				if err := os.WriteFile(filepath.Join(fresh, name), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			return failure
		})
	}
	failure := errors.New("half way")
	for _, step := range []struct {
		files, want []string
		failure     error
	}{
		{files: []string{"a", "gone"}, want: []string{"a", "gone"}},
		{files: []string{"b"}, want: []string{"a", "gone"}, failure: failure},
		{files: []string{"a", "b"}, want: []string{"a", "b"}},
	} {
		if err := replace(step.failure, step.files...); !errors.Is(err, step.failure) {
			t.Errorf("%v: %v", step.files, err)
		}
		if got := names(dir); !slices.Equal(got, step.want) {
			t.Errorf("there are %v, want %v", got, step.want)
		}
		if got := names(beside); !slices.Equal(got, []string{"dir"}) {
			t.Errorf("left beside it: %v", got)
		}
	}
	if err := Exchange(filepath.Join(beside, "none"), dir); err == nil || !slices.Equal(names(dir), []string{"a", "b"}) {
		t.Errorf("exchanged for nothing: %v, %v", names(dir), err)
	}
}

func TestVacant(t *testing.T) {
	root := t.TempDir()
	lock, err := Lock(root, "a-x7k2p")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Unlock() }()
	if vacant, err := Vacant(root, "a-x7k2p"); !vacant || err != nil {
		t.Errorf("with its lock alone: %v, %v", vacant, err)
	}
	if err := WriteMetadata(root, Metadata{Identity: "a-x7k2p"}); err != nil {
		t.Fatal(err)
	}
	if vacant, err := Vacant(root, "a-x7k2p"); vacant || err != nil {
		t.Errorf("with metadata: %v, %v", vacant, err)
	}
}

func TestMetadata(t *testing.T) {
	root := t.TempDir()
	want := Metadata{
		Identity: "fixer-abc12", AgentName: "fixer", Cwd: "/src", CopyCwd: true, Started: time.Date(2026, 6, 2, 1, 2, 3, 0, time.UTC),
		ComposeProject: "bot-bottle-fixer-abc12", Backend: "podman", Firewall: "builtin", Label: "mine", UserCwd: "/src",
		BottleNames: []string{"a", "b"}, AgentFromCwd: true, PlanDigest: "sha256:00",
	}
	if err := WriteMetadata(root, want); err != nil {
		t.Fatal(err)
	}
	got, err := ReadMetadata(root, want.Identity)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := ReadMetadata(root, "none-12345"); !errors.Is(err, ErrNoMetadata) {
		t.Errorf("no metadata: %v", err)
	}
	if _, err := ReadMetadata(root, "../x"); err == nil {
		t.Error("a path was taken for a slug")
	}
}

func TestReadMetadataTolerance(t *testing.T) {
	tests := map[string]struct {
		text string
		want Metadata
		err  bool
	}{
		"empty object":   {text: `{}`, want: Metadata{Identity: "fixer-abc12"}},
		"unknown fields": {text: `{"color": "red", "agent_name": "fixer"}`, want: Metadata{Identity: "fixer-abc12", AgentName: "fixer"}},
		"seed":           {text: `{"identity": "fixer-abc12", "started_at": "2026-06-02T02:24:17.123456+00:00"}`, want: Metadata{Identity: "fixer-abc12", Started: time.Date(2026, 6, 2, 2, 24, 17, 123456000, time.UTC)}},
		"another bottle": {text: `{"identity": "other"}`, err: true},
		"half a file":    {text: `{"identity": "fix`, err: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			tree, err := Of(root, "fixer-abc12")
			if err != nil {
				t.Fatal(err)
			}
			if err := MakeDir(tree.Dir()); err != nil {
				t.Fatal(err)
			}
			if err := WriteFile(tree.Metadata(), []byte(tt.text)); err != nil {
				t.Fatal(err)
			}
			got, err := ReadMetadata(root, "fixer-abc12")
			got.Started = got.Started.UTC()
			if (err != nil) != tt.err || (err == nil && !reflect.DeepEqual(got, tt.want)) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestPreserveListRemove(t *testing.T) {
	root := t.TempDir()
	if slugs, err := List(root); err != nil || len(slugs) != 0 {
		t.Fatalf("%v, %v", slugs, err)
	}
	for _, slug := range []string{"b-2", "a-1"} {
		if err := WriteMetadata(root, Metadata{Identity: slug}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(root, "state", "Not A Slug"), 0o700); err != nil {
		t.Fatal(err)
	}
	if slugs, err := List(root); err != nil || !slices.Equal(slugs, []string{"a-1", "b-2"}) {
		t.Errorf("%v, %v", slugs, err)
	}
	if Preserved(root, "a-1") {
		t.Error("preserved from the start")
	}
	if err := SetPreserve(root, "a-1"); err != nil || !Preserved(root, "a-1") || Preserved(root, "b-2") {
		t.Errorf("not preserved: %v", err)
	}
	for range 2 {
		if err := ClearPreserve(root, "a-1"); err != nil || Preserved(root, "a-1") {
			t.Errorf("still preserved: %v", err)
		}
	}
	tree, err := Of(root, "a-1")
	if err != nil {
		t.Fatal(err)
	}
	if err := MakeDir(tree.Queue()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := Remove(root, "a-1"); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{tree.Dir(), tree.Queue()} {
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", dir, err)
		}
	}
}

func TestLock(t *testing.T) {
	root := t.TempDir()
	lock, err := Lock(root, "a-1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(root, "a-1"); !errors.Is(err, ErrLocked) {
		t.Errorf("locked twice: %v", err)
	}
	other, err := Lock(root, "b-2")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(Remove(root, "a-1"), lock.Unlock(), other.Unlock()); err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(root, "../a"); err == nil {
		t.Error("a path was taken for a slug")
	}
}

// A lock on a file that Remove has deleted is worth nothing; whoever takes the
// lock must be alone, whether or not the one before removed the bottle.
func TestLockAndRemoveRace(t *testing.T) {
	root := t.TempDir()
	var holders, taken atomic.Int32
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 200 {
				lock, err := Lock(root, "a-1")
				if errors.Is(err, ErrLocked) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				taken.Add(1)
				if holders.Add(1) != 1 {
					t.Error("two hold the lock")
				}
				holders.Add(-1)
				if err := errors.Join(Remove(root, "a-1"), lock.Unlock()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if taken.Load() == 0 {
		t.Error("nobody got the lock")
	}
}

func TestRuntime(t *testing.T) {
	s := Runtime("/run/user/1000", "a-1").Service("egress")
	for got, want := range map[string]string{
		Runtime("/run/user/1000", "a-1").Dir(): "/run/user/1000/podbottle/a-1",
		s.Config():                             "/run/user/1000/podbottle/a-1/egress/config",
		s.Secrets():                            "/run/user/1000/podbottle/a-1/egress/secrets",
		s.Run():                                "/run/user/1000/podbottle/a-1/egress/run",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
