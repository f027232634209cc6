//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// What a bottle is called by, and what is said of one that does not run.
func TestNames(t *testing.T) {
	u := newUser(t)
	u.bottle("fixer", "[bash, -c, 'sleep infinity']", "label: my own words")
	u.bottle("other", "[bash, -c, 'sleep infinity']", "")
	before := hostObjects(t)
	slug, second, other := u.start("fixer"), u.start("fixer"), u.start("other")
	refused := func(want string, args ...string) {
		t.Helper()
		if r := u.run(args...); r.status != 125 || r.stdout != "" || !strings.Contains(r.stderr, want) {
			t.Errorf("%v: wanted %q, got %v", args, want, r)
		}
	}

	// The beginning of a slug is enough where it is that of one bottle.
	if got := u.must("exec", "oth", "--", "echo", "here"); got != "here" {
		t.Errorf("exec by the beginning of the slug: %q", got)
	}
	refused("fixer is the beginning of several slugs: ", "exec", "fixer", "--", "true")
	refused("no bottle nobody; podbottle list --all", "logs", "nobody")
	wants(t, u.must("list"), "my own words")

	// A bottle that does not run is named with the way on, and so is one of its beginning.
	u.must("stop", slug)
	for _, args := range [][]string{{"exec", slug, "true"}, {"logs", slug}, {"attach", slug}, {"restart", slug}, {"stop", slug}} {
		refused("bottle "+slug+" does not run; go on with it by podbottle resume "+slug, args...)
	}
	if got := u.must("exec", "fixer", "--", "echo", second); got != second {
		t.Errorf("one that runs is not meant before one that does not: %q", got)
	}
	wants(t, u.must("list", "--all", "--format", "{{.Slug}} {{.Bottle}} {{.Runtime}} {{.Status}}"), slug+" fixer runsc kept")
	u.must("resume", "fixer", "--detach", "--yes") // the one that does not run
	refused("podbottle attach "+other, "resume", other, "--yes")

	// Work is discarded by the whole slug only, whether or not the bottle runs.
	u.must("stop", second)
	refused("podbottle stop --discard "+second, "stop", "--discard", second[:len(second)-1])
	wants(t, strings.Join(u.states(), " "), second)
	wants(t, u.must("stop", "--discard", second), second)
	wants(t, u.must("stop", "--all", "--discard"), slug, other)
	if got := u.must("stop", "--all"); got != "" {
		t.Errorf("nothing runs, and %q was stopped", got)
	}
	u.nothingLeft(before)
}
