package state

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/podbottle/podbottle/internal/crashtest"
)

const crashSlug = "fixer-abc12"

// The metadata before and after an operation that is killed.
var (
	metadataBefore = Metadata{Identity: crashSlug, AgentName: "fixer", Label: "before"}
	metadataAfter  = Metadata{Identity: crashSlug, AgentName: "fixer", Label: "after"}
)

// crashOperations is every way in which the package changes files.
var crashOperations = map[string]func(root string) error{
	"lock": func(root string) error {
		lock, err := Lock(root, crashSlug)
		if err != nil {
			return err
		}
		return lock.Unlock()
	},
	"write":    func(root string) error { return WriteMetadata(root, metadataAfter) },
	"commit":   func(root string) error { return CommitMetadata(root, metadataAfter) },
	"preserve": func(root string) error { return SetPreserve(root, crashSlug) },
	"release":  func(root string) error { return ClearPreserve(root, crashSlug) },
	"remove":   func(root string) error { return Remove(root, crashSlug) },
}

func TestMain(m *testing.M) { crashtest.Main(m, crashOperations) }

// A bottle is there as it was or as it is to be, and its operation can be done again.
func TestKilledAnywhere(t *testing.T) {
	fewest := map[string]int{"lock": 3, "write": 4, "commit": 5, "preserve": 4, "release": 1, "remove": 10}
	for operation := range crashOperations {
		for name, existed := range map[string]bool{"a bottle": true, "nothing": false} {
			if !existed && slices.Contains([]string{"preserve", "release", "remove"}, operation) {
				continue // these are for a bottle that is there
			}
			t.Run(operation+" with "+name, func(t *testing.T) {
				prepare := func(root string) {
					if existed {
						makeBottle(t, root)
					}
				}
				n := crashtest.Each(t, operation, prepare, func(root string, point int) {
					wantConsistent(t, root, operation, existed, point == 0)
					if err := crashOperations[operation](root); err != nil {
						t.Errorf("again: %v", err)
					}
					wantConsistent(t, root, operation, existed, true)
					wantRemovable(t, root)
				})
				if n < fewest[operation] {
					t.Errorf("the operation was killed at %d points only, want %d or more", n, fewest[operation])
				}
			})
		}
	}
}

// makeBottle makes the state that a bottle has after a session.
func makeBottle(t *testing.T, root string) {
	t.Helper()
	tree, err := Of(root, crashSlug)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(CommitMetadata(root, metadataBefore), SetPreserve(root, crashSlug), MakeDir(tree.Egress()), MakeDir(tree.Queue()),
		WriteFile(filepath.Join(tree.Egress(), "routes.yaml"), nil), WriteFile(filepath.Join(tree.Queue(), "1.json"), nil))
	if err != nil {
		t.Fatal(err)
	}
}

// wantConsistent wants what is there to be one of the states that the operation
// leads from and to, or the latter alone once it is done.
func wantConsistent(t *testing.T, root, operation string, existed, done bool) {
	t.Helper()
	slugs, err := List(root)
	if err != nil || len(slugs) > 1 {
		t.Errorf("list: %v, %v", slugs, err)
	}
	got, err := ReadMetadata(root, crashSlug)
	there := err == nil
	if err != nil && !errors.Is(err, ErrNoMetadata) {
		t.Errorf("metadata: %v", err)
	}
	var before, after bool // whether there is metadata
	want := metadataBefore
	switch before, after = existed, existed; operation {
	case "write", "commit":
		after = true
		want = metadataAfter
	case "remove":
		after = false
	}
	switch {
	case done && there != after, there != before && there != after:
		t.Errorf("metadata is there: %v", there)
	case there && !reflect.DeepEqual(got, want) && (done || !reflect.DeepEqual(got, metadataBefore)):
		t.Errorf("metadata is %+v", got)
	}
	if dir := filepath.Join(root, "state", crashSlug); existed && exists(dir) {
		for _, name := range []string{"metadata.json", "egress/routes.yaml"} {
			if !exists(filepath.Join(dir, name)) {
				t.Errorf("half of the bottle is there, without %s", name)
			}
		}
	}
	preserved := Preserved(root, crashSlug)
	switch operation {
	case "preserve", "release", "remove":
		if done && preserved != (operation == "preserve") {
			t.Errorf("preserved: %v", preserved)
		}
		if operation == "preserve" && !preserved {
			t.Error("a bottle that was preserved lost its marker")
		}
	default:
		if preserved != existed {
			t.Errorf("preserved: %v, want %v", preserved, existed)
		}
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// wantRemovable locks the bottle, which a killed process must not keep from
// happening, removes it and wants nothing to be left.
func wantRemovable(t *testing.T, root string) {
	t.Helper()
	lock, err := Lock(root, crashSlug)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(Remove(root, crashSlug), lock.Unlock()); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"state", "queue"} {
		if entries, err := os.ReadDir(filepath.Join(root, dir)); len(entries) > 0 {
			t.Errorf("left in %s: %v, %v", dir, entries, err)
		}
	}
}

// On a full disk a write fails, names its file, and leaves what was there.
func TestFullDisk(t *testing.T) {
	crashtest.FullDisk(t, func(root string, fill, free func()) {
		makeBottle(t, root)
		long := metadataAfter
		long.Label = strings.Repeat("x", 1<<16) // more than the page that a file system may have in hand
		fill()
		for name, write := range map[string]func(string, Metadata) error{"write": WriteMetadata, "commit": CommitMetadata} {
			err := write(root, long)
			if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "metadata.json") {
				t.Errorf("%s: %v", name, err)
			}
			if got, err := ReadMetadata(root, crashSlug); err != nil || !reflect.DeepEqual(got, metadataBefore) {
				t.Errorf("%s: metadata is %+v, %v", name, got, err)
			}
		}
		entries, err := os.ReadDir(filepath.Join(root, "state", crashSlug))
		if err != nil || len(entries) != 3 { // metadata.json, .preserve, egress
			t.Errorf("half a file is left: %v, %v", entries, err)
		}
		free()
		if err := CommitMetadata(root, metadataAfter); err != nil {
			t.Error(err)
		}
		fill()
		wantRemovable(t, root) // what frees space must not need any
	})
}
