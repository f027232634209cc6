package gate

import (
	"strings"
	"testing"
)

func TestCloneFetchAndPush(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	app := s.create("app")
	b := newBottle(t, app)
	b.git("", "clone", "-q", app.URL, "app")
	if head := b.git("app", "log", "-1", "--format=%s"); head != "first" {
		t.Errorf("the clone has %q", head)
	}

	// A commit made outside in between.
	outside := s.commit("app", "outside", "x\n", "from outside")
	b.git("app", "pull", "-q")
	if got := b.git("app", "rev-parse", "HEAD"); got != outside {
		t.Errorf("the agent has %s, want %s", got, outside)
	}

	// A clean push lands, under the identity of the bottle.
	mine := b.commit("app", "mine", "y\n", "from the agent")
	out := b.git("app", "push", "origin", "HEAD")
	if got := s.git("app.git", "rev-parse", "main"); got != mine {
		t.Errorf("the remote has %s, want %s\n%s", got, mine, out)
	}
	if got := s.git("app.git", "log", "-1", "--format=%an <%ae>", "main"); got != "Agent <agent@example.org>" {
		t.Errorf("the commit is by %s", got)
	}
	if !strings.Contains(out, "nothing found in 3 new objects") {
		t.Errorf("the agent was told\n%s", out)
	}
}
