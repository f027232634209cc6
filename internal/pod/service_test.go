package pod

import (
	"slices"
	"testing"
)

// A service whose podbottle lives is not taken for a dead one, nor is one that is
// only just being started and has no lock yet.
func TestDeadServices(t *testing.T) {
	root := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", root)
	var dirs []string
	for range 3 {
		dir, err := privateDir(servicesDir(root))
		if err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, dir)
	}
	live, err := markAlive(dirs[1])
	if err != nil {
		t.Fatal(err)
	}
	killed, err := markAlive(dirs[2])
	if err != nil {
		t.Fatal(err)
	}
	if err := killed.Close(); err != nil { // as the kernel does
		t.Fatal(err)
	}
	for range 2 { // looking changes nothing
		if dead, err := DeadServices(); err != nil || !slices.Equal(dead, dirs[2:]) {
			t.Errorf("dead: %v, %v; want %v", dead, err, dirs[2:])
		}
	}
	if err := live.Close(); err != nil {
		t.Fatal(err)
	}
}
