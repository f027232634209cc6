//go:build e2e && soak

package e2e

import (
	"flag"
	"strings"
	"testing"
)

// soakCycles is set by make soak.
var soakCycles = flag.Int("cycles", 500, "how many bottles TestSoak starts and removes")

// TestSoak starts and removes one bottle after the other. No start may fail, and
// after every tenth the host must be as it was before the first: what leaks is
// then known to within ten bottles.
func TestSoak(t *testing.T) {
	u := newUser(t)
	u.bottle("soak", "[bash]", "")
	before := hostObjects(t)
	for cycle := 1; cycle <= *soakCycles && !t.Failed(); cycle++ {
		r := u.run("start", "soak", "--detach", "--yes")
		if r.status != 0 {
			t.Fatalf("start %d of %d: status %d\n%s", cycle, *soakCycles, r.status, r.stderr)
		}
		slug := strings.TrimSpace(r.stdout)
		if r := u.inside(slug, "echo alive"); r.stdout != "alive\n" {
			t.Errorf("bottle %d of %d: %+v", cycle, *soakCycles, r)
		}
		u.must("stop", "--discard", slug)
		if cycle%10 == 0 || cycle == *soakCycles {
			u.nothingLeft(before)
			t.Logf("%d bottles started and removed", cycle)
		}
	}
}
