//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/podbottle/podbottle/internal/pipelock"
)

// askFor has the agent call a tool of supervise, and returns what hears the answer.
func (tr *tree) askFor(t testing.TB, name, tool, arguments string) <-chan string {
	t.Helper()
	call := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q,"arguments":%s}}`, tool, arguments)
	cmd := tr.podbottle("exec", name, "--", "curl", "-sS", "--noproxy", "*", "--max-time", "600", "-H", "Content-Type: application/json",
		"-H", "Accept: application/json, text/event-stream", "--data-binary", "@-", "http://supervise:9100/mcp")
	cmd.stdin, cmd.timeout = call, 2*commandTimeout
	asked := cmd.start(t)
	answer := make(chan string, 1)
	go func() {
		<-asked.done
		answer <- asked.stdout.String() + asked.stderr.String()
	}()
	return answer
}

// proposal waits until one proposal waits for an answer, and returns its id.
func (tr *tree) proposal(t testing.TB) string {
	t.Helper()
	var id string
	eventually(t, "a proposal waits", func() bool {
		id = tr.podbottle("approvals", "list", "--format", "{{.ID}}").succeed(t)
		return id != ""
	})
	return id
}

// checkApproval lets the agent of a bottle of systemd have one more path of a host,
// which takes live routes and leaves the agent as it is.
func checkApproval(t *testing.T, tr *tree, name string, up *upstream) {
	const url = "https://api.upstream.test/more/"
	agent := podman(t, "inspect", "bot-bottle-"+name, "--format", "{{.Id}}")
	seen := len(up.requests())
	if got := tr.inBottle(t, name, "curl -sS --max-time 60 "+url); !strings.Contains(got, "path-not-allowed") {
		t.Errorf("before the approval: %q", got)
	}

	answer := tr.askFor(t, name, "egress-block", `{"host":"api.upstream.test","path_allowlist":["/more/"],"justification":"a test"}`)
	id := tr.proposal(t)
	if got := tr.podbottle("list", "--format", "{{.Slug}} {{.Waiting}}").succeed(t); !slices.Contains(lines(got), name+" 1") {
		t.Errorf("list while one proposal waits: %q", got)
	}
	tr.podbottle("approvals", "deny", id, "--reason", "not today").succeed(t)
	if got := <-answer; !strings.Contains(got, "not today") {
		t.Errorf("the denial: %q", got)
	}
	if got := tr.inBottle(t, name, "curl -sS --max-time 60 "+url); !strings.Contains(got, "path-not-allowed") || len(up.requests()) != seen {
		t.Errorf("after the denial: %q, and the host saw %d requests", got, len(up.requests())-seen)
	}

	answer = tr.askFor(t, name, "egress-block", `{"host":"api.upstream.test","path_allowlist":["/more/"],"justification":"a test"}`)
	tr.podbottle("approvals", "approve", tr.proposal(t), "--scope", "bottle").succeed(t)
	if got := <-answer; !strings.Contains(got, "approved") {
		t.Errorf("the approval: %q", got)
	}
	if got := tr.inBottle(t, name, "curl -sS --max-time 60 "+url); got != "upstream\n" || len(up.requests()) != seen+1 {
		t.Errorf("after the approval: %q, and the host saw %d requests", got, len(up.requests())-seen)
	}

	// A new host is the firewall's business too. It reads its configuration by itself;
	// where it does not report so, as pipelock does not, systemd starts it again.
	firewall := func() string {
		return podman(t, "inspect", "bot-bottle-"+name+"-pipelock", "--format", "{{.Id}} {{.State.Pid}}")
	}
	before := firewall()
	open := func(host string) {
		t.Helper()
		answer := tr.askFor(t, name, "egress-block", fmt.Sprintf(`{"host":%q,"justification":"a test"}`, host))
		tr.podbottle("approvals", "approve", tr.proposal(t), "--scope", "bottle").succeed(t)
		wants(t, <-answer, "approved")
		if got := tr.inBottle(t, name, "curl -sS --max-time 60 https://"+host+"/"); !strings.Contains(got, "not public") {
			t.Errorf("the new host %s: %q, want that the firewall judges its address", host, got)
		}
	}
	open("git.upstream.test")
	if firewall() != before {
		t.Error("the firewall was started again for a list that it reads by itself")
	}
	report := filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "podbottle", name, "pipelock", "run", pipelock.StatusFile)
	if err := os.Remove(report); err != nil {
		t.Fatal(err)
	}
	open("other.upstream.test")
	if firewall() == before {
		t.Error("a firewall that reports nothing was not started again")
	}
	if got := tr.podbottle("list", "--format", "{{.Slug}} {{.Status}}").succeed(t); !slices.Contains(lines(got), name+" running") {
		t.Errorf("after the approvals: %q", got)
	}
	if podman(t, "inspect", "bot-bottle-"+name, "--format", "{{.Id}}") != agent {
		t.Error("the approval started the agent again")
	}
}
