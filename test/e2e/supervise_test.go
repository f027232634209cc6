//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// asker is a user with an agent of this name in a bottle with supervise, whose one
// host answers below /v1/ and counts what reaches it.
func asker(t *testing.T) (*user, *upstream) {
	t.Helper()
	up := startUpstream(t, upstreamIP+":8443", nil)
	u := newUser(t, "BOT_BOTTLE_EXTRA_CA_CERTS="+up.caFile)
	u.bottle("asker", "[bash]", "supervise: true\n"+route("      path_allowlist: [/v1/]\n"))
	return u, up
}

// supervisedUser is asker with the bottle running.
func supervisedUser(t *testing.T) (u *user, slug string, up *upstream) {
	t.Helper()
	u, up = asker(t)
	return u, u.start("asker"), up
}

// reaches asks for a path as the agent, and tells whether it came through.
func reaches(u *user, slug, path string) bool {
	return u.inside(slug, "curl -sS --max-time 60 https://"+upstreamHost+path).stdout == "upstream\n"
}

// more is the JSON of a call that asks for a path below /more/.
const more = `{"host":"upstream.test","path_allowlist":["/more/"],"methods":["GET"],"justification":"for \u001b[31mthe\u001b[0m tests"}`

func TestSupervise(t *testing.T) {
	u, slug, up := supervisedUser(t)
	refused := func(when string) {
		t.Helper()
		before := len(up.requests())
		if reaches(u, slug, "/more/x") || len(up.requests()) != before {
			t.Errorf("%s: the request went through", when)
		}
	}

	t.Run("tools", func(t *testing.T) {
		wants(t, <-u.askFor(t, slug, "list-egress-routes", "{}"), "upstream.test", "/v1/")
		answer := u.askFor(t, slug, "pipelock-block", `{"failed_url":"https://upstream.test:8443/other/x","justification":"it failed"}`)
		id := u.proposal(t)
		wants(t, <-u.askFor(t, slug, "proposal-status", fmt.Sprintf(`{"id":%q}`, longID(t, u, id))), "pending")
		u.must("approvals", "deny", id, "--reason", "look elsewhere")
		wants(t, <-answer, "look elsewhere")
		wants(t, <-u.askFor(t, slug, "egress-block", `{"host":"not a host","justification":"x"}`), "isError")
	})
	t.Run("approval and expiry", func(t *testing.T) {
		refused("before")
		answer := u.askFor(t, slug, "egress-block", more)
		id := u.proposal(t)
		wants(t, u.must("approvals", "show", id), "/more/", "<ESC>[31mthe<ESC>[0m tests")
		// The agent tries all the time: the approval may end before another command is under way.
		asked := u.podbottle("exec", slug, "--", "bash", "-c", "until curl -sSf --max-time 60 https://"+upstreamHost+"/more/x; do sleep 0.1; done 2>/dev/null").start(t)
		u.must("approvals", "approve", id, "--scope", "once", "--for", "15s")
		wants(t, <-answer, "approved")
		if r := asked.wait(); r.stdout != "upstream\n" {
			t.Errorf("the approved request did not go through: %v", r)
		}
		eventually(t, "the approval ends", func() bool { return !reaches(u, slug, "/more/x") })
		refused("after its end")
	})
	t.Run("modified", func(t *testing.T) {
		answer := u.askFor(t, slug, "egress-block", more)
		approve := u.podbottle("approvals", "approve", u.proposal(t), "--scope", "bottle", "--modified", "-")
		approve.stdin = "host: upstream.test\npath_allowlist: [/less/]\n"
		approve.succeed(t)
		wants(t, <-answer, "modified", "/less/")
		refused("what was taken out")
		if !reaches(u, slug, "/less/x") {
			t.Error("the operator's version does not go through")
		}
	})
	t.Run("sidecar killed", func(t *testing.T) {
		answer := u.askFor(t, slug, "egress-block", more)
		id := u.proposal(t)
		podman(t, "restart", "--time=0", "bot-bottle-"+slug+"-supervise")
		<-answer // cut short
		u.must("approvals", "deny", id, "--reason", "still here")
		served(t, u, slug)
		wants(t, <-u.askFor(t, slug, "proposal-status", fmt.Sprintf(`{"id":%q}`, longID(t, u, id))), "rejected", "still here")
		refused("while it was away")
	})
	t.Run("flood", func(t *testing.T) { checkFlood(t, u, slug) })
	refused("at the end")
	verified := u.must("audit", "verify", slug)
	for _, of := range []string{"egress", "proposals", "operators"} {
		if !regexp.MustCompile(`(?m)^` + of + `: [1-9]\d* lines, unbroken$`).MatchString(verified) {
			t.Errorf("the audit file of %s: %s", of, verified)
		}
	}
	wants(t, u.must("audit", slug), "because: for <ESC>[31mthe<ESC>[0m tests", "modified to", "told: still here", "with approvals deny")
}

// served waits until supervise, which was started again, answers the agent.
func served(t *testing.T, u *user, slug string) {
	t.Helper()
	eventually(t, "supervise serves again", func() bool {
		return strings.Contains(<-u.askFor(t, slug, "list-egress-routes", "{}"), "upstream.test")
	})
}

// checkFlood has the agent make a thousand proposals at once, while the operator looks
// at what waits.
func checkFlood(t *testing.T, u *user, slug string) {
	const calls, limit = 1000, 16
	const service = "supervise"
	podman(t, "restart", "--time=0", "bot-bottle-"+slug+"-"+service) // the rate of earlier proposals is forgotten
	u.copyProgram(slug)
	served(t, u, slug)
	before := memoryOf(t, slug, service)
	flood := u.agentProgram(slug, "flood", strconv.Itoa(calls)).start(t)
	looks := 0
	for ; !flood.ended(); looks++ {
		if n := len(lines(u.must("approvals", "list", "--format", "{{.ID}}"))); n > limit {
			t.Errorf("%d proposals wait in the flood", n)
		}
	}
	r := flood.wait()
	var outcome floodOutcome
	if r.status != 0 || json.Unmarshal([]byte(r.stdout), &outcome) != nil {
		t.Fatalf("%+v", r)
	}
	over := 0
	for reason, n := range outcome.Refused {
		over += n
		if !strings.Contains(reason, "wait already") && !strings.Contains(reason, "too many") {
			t.Errorf("%d were refused because: %s", n, reason)
		}
	}
	after := memoryOf(t, slug, service)
	t.Logf("refused while %d wait: %v, the slowest after %v; the operator looked %d times; memory of the sidecar before %v, after %v",
		outcome.Waiting, outcome.Refused, outcome.Slowest.Round(time.Millisecond), looks, before, after)
	if outcome.Waiting != limit || over != calls-limit {
		t.Errorf("%d wait and %d were refused, want %d and %d", outcome.Waiting, over, limit, calls-limit)
	}
	const most = 64 // MB
	if after.peak-before.peak > most {
		t.Errorf("the sidecar took %d MB more for it", after.peak-before.peak)
	}
	waiting := lines(u.must("approvals", "list", "--format", "{{.ID}}"))
	if len(waiting) != limit {
		t.Errorf("%d proposals wait after it, want %d", len(waiting), limit)
	}
	wants(t, u.must("list", "--format", "{{.Slug}} waits={{.Waiting}}"), fmt.Sprintf("%s waits=%d", slug, limit))
	wants(t, <-u.askFor(t, slug, "list-egress-routes", "{}"), "upstream.test", "/v1/")
	wants(t, <-u.askFor(t, slug, "proposal-status", "{}"), "pending")
	for _, id := range waiting {
		u.must("approvals", "deny", id, "--reason", "flood")
	}
	if left := u.must("approvals", "list", "--format", "{{.ID}}"); left != "" {
		t.Errorf("denied, but these wait: %s", left)
	}
}

// TestNobodyAnswers has an agent ask for more where no operator is.
func TestNobodyAnswers(t *testing.T) {
	u, up := asker(t)
	for how, want := range map[string]struct{ status, notes string }{
		"deny":    {"rejected", "runs unattended"},
		"wait=2s": {"expired", "no operator answered within 2s"},
	} {
		t.Run(how, func(t *testing.T) {
			slug := u.start("asker", "--on-approval="+how)
			before := len(up.requests())
			said := <-u.askFor(t, slug, "egress-block", more)
			wants(t, said, want.status, want.notes)
			if strings.Contains(said, "isError") {
				t.Errorf("an answer that is an error: %s", said)
			}
			if reaches(u, slug, "/more/x") || len(up.requests()) != before {
				t.Error("the request went through")
			}
			wants(t, <-u.askFor(t, slug, "proposal-status", "{}"), want.status, want.notes)
			if waiting := u.must("approvals", "list", "--format", "{{.ID}}"); waiting != "" {
				t.Errorf("these wait still: %s", waiting)
			}
			all := u.must("approvals", "list", "--all", "--format", "{{.ID}} {{.Slug}} {{.Status}}")
			id, rest, _ := strings.Cut(all, " ")
			if rest != slug+" "+want.status {
				t.Errorf("the operator sees %q later", all)
			}
			if r := u.run("approvals", "approve", id, "--scope", "bottle"); r.status != 125 || !strings.Contains(r.stderr, "decided already: it is "+want.status) {
				t.Errorf("approved afterwards: %+v", r)
			}
			if reaches(u, slug, "/more/x") || len(up.requests()) != before {
				t.Error("the request went through after the operator was late")
			}
			wants(t, u.must("audit", slug), " ask   egress-block "+id, " deny  egress-block "+id, want.notes)
			u.must("stop", "--discard", slug)
		})
	}
}

// longID is the whole ID of a proposal.
func longID(t *testing.T, u *user, id string) string {
	t.Helper()
	var view struct{ Proposal struct{ ID string } }
	if err := json.Unmarshal([]byte(u.must("approvals", "show", id, "--format", "json")), &view); err != nil {
		t.Fatal(err)
	}
	return view.Proposal.ID
}

// The terminal interface is driven by keys, as by a person.
func TestSuperviseOnTheTerminal(t *testing.T) {
	u, slug, up := supervisedUser(t)
	s := newScreen(t, u)
	s.run("VISUAL='sed -i s/even-more/less/' podbottle supervise; echo status=$?")
	s.waitFor("Nothing waits")
	answer := u.askFor(t, slug, "egress-block", more)
	s.waitFor("1 proposal waits")
	key := func(name, shows string) {
		t.Helper()
		s.tmux("send-keys", "-t", s.name, name)
		s.waitFor(shows)
	}
	key("Enter", "<ESC>[31mthe<ESC>[0m tests")
	key("b", "Approve this?")
	key("Enter", "Nothing is approved")
	if reaches(u, slug, "/more/x") || len(up.requests()) != 0 {
		t.Error("Enter approved")
	}
	key("b", "Approve this?")
	key("y", "Approved.")
	wants(t, <-answer, "approved")
	if !reaches(u, slug, "/more/x") {
		t.Error("what was approved does not go through")
	}
	s.waitFor("Nothing waits") // so that what waits next is not the one before
	answer = u.askFor(t, slug, "egress-block", strings.ReplaceAll(more, "/more/", "/even-more/"))
	s.waitFor("1 proposal waits")
	key("Enter", "/even-more/")
	key("e", "your version")
	key("x", "on /less/ and below pass")
	s.tmux("resize-window", "-t", s.name, "-x", "40", "-y", "10")
	s.waitFor("more below")
	s.waitFor("f for · e edit · r reject · esc back")
	s.tmux("resize-window", "-t", s.name, "-x", "100", "-y", "30")
	key("r", "Why not")
	s.send("that is enough")
	s.waitFor("Rejected")
	wants(t, <-answer, "that is enough")
	key("q", "status=0")

	if r := u.run("supervise"); r.status != 125 || !strings.Contains(r.stderr, "podbottle approvals") {
		t.Errorf("without a terminal: %+v", r)
	}
}

// notifications is a desktop's notification service.
type notifications struct{ shown chan string }

// Notify is the method of the service's interface.
func (n notifications) Notify(app string, _ uint32, _, summary, body string, _ []string, _ map[string]dbus.Variant, _ int32) (uint32, *dbus.Error) {
	n.shown <- app + ": " + summary + ": " + body
	return 1, nil
}

func TestNotify(t *testing.T) {
	bus, err := dbus.ConnectSessionBus()
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	desktop := notifications{make(chan string, 10)}
	const service = "org.freedesktop.Notifications"
	if err := bus.Export(desktop, "/org/freedesktop/Notifications", service); err != nil {
		t.Fatal(err)
	}
	if reply, err := bus.RequestName(service, dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatal(reply, err)
	}
	u, slug, _ := supervisedUser(t)
	hooked := filepath.Join(u.cwd, "hooked")
	s := newScreen(t, u)
	s.send("podbottle approvals watch --notify --hook 'cat > " + hooked + ".new; mv " + hooked + ".new " + hooked + "'")
	answer := u.askFor(t, slug, "egress-block", more)
	select {
	case got := <-desktop.shown:
		wants(t, got, "podbottle: ", slug+" asks", "/more/")
	case <-time.After(patience):
		t.Error("no notification was shown")
	}
	s.waitFor(slug + "  egress-block")
	eventually(t, "the hook runs", func() bool { _, err := os.Stat(hooked); return err == nil })
	wants(t, readFile(t, hooked), `"slug":"`+slug+`"`, `"summary":"Lets GET requests`)
	s.tmux("send-keys", "-t", s.name, "C-c")
	u.must("approvals", "deny", u.proposal(t), "--reason", "done")
	<-answer
}
