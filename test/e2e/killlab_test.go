//go:build e2e

package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/podbottle/podbottle/internal/sshdtest"
)

// killLab is a user with the bottle k, which has every sidecar, and whose agent
// never stops trying to get out.
type killLab struct {
	*user
	before  objects
	allowed *upstream // what the bottle may reach
	denied  *upstream // what it may not, neither by name nor by address
}

// attempts are ways out that must not work.
const attempts = `curl -sSk -m 3 --noproxy "*" https://203.0.113.11:8443/direct & curl -sSk -m 3 https://203.0.113.11:8443/address &
curl -sSk -m 3 --noproxy "*" https://denied.test:8443/direct & curl -sSk -m 3 https://denied.test:8443/name & wait`

func newKillLab(t *testing.T) *killLab {
	t.Helper()
	return newLab(t, "[bash, -c, 'while :; do "+strings.ReplaceAll(attempts, "\n", " ")+"; sleep 0.3; done >/dev/null 2>&1']")
}

// newLab is newKillLab with another command for the agent.
func newLab(t *testing.T, agent string) *killLab {
	t.Helper()
	allowed, denied := startUpstream(t, upstreamIP+":8443", nil), startUpstream(t, otherIP+":8443", nil)
	lab := &killLab{user: newUser(t, "BOT_BOTTLE_EXTRA_CA_CERTS="+allowed.caFile), allowed: allowed, denied: denied}
	key := filepath.Join(t.TempDir(), "key")
	if err := sshdtest.MakeKey(key); err != nil {
		t.Fatal(err)
	}
	hostKey := strings.Join(strings.Fields(readFile(t, key+".pub"))[:2], " ")
	lab.write("config.yaml", "firewall: {engine: builtin}\nimages: {git_gate_base: '"+gitImage+"'}\n")
	lab.bottle("k", agent, "supervise: true\ngit-gate:\n  repos:\n    app: {url: 'ssh://git@git.upstream.test:2222/app.git', identity: '"+key+"', host_key: "+hostKey+"}\n"+route(""))
	lab.before = hostObjects(t)
	return lab
}

// containerPID finds the first process of one of the bottle's containers.
func containerPID(suffix string) func(*killLab, string) int {
	return processOf(suffix, "{{.State.Pid}}")
}

// conmonPID finds the conmon of one of the bottle's containers.
func conmonPID(suffix string) func(*killLab, string) int {
	return processOf(suffix, "{{.State.ConmonPid}}")
}

func processOf(suffix, format string) func(*killLab, string) int {
	return func(l *killLab, slug string) int {
		l.t.Helper()
		// Before the container is there, the command fails and there is no number.
		return number(command{argv: []string{"podman", "container", "inspect", "--format", format, "bot-bottle-" + slug + suffix}}.run(l.t).stdout)
	}
}

// servicePID finds the API service behind podman.socket.
func servicePID(l *killLab, _ string) int {
	l.t.Helper()
	return number(command{argv: []string{"systemctl", "--user", "show", "--property=MainPID", "--value", "podman.service"}}.succeed(l.t))
}

// runscServicePID finds the API service that podbottle starts to create agents on.
func runscServicePID(l *killLab, _ string) int {
	l.t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		l.t.Fatal(err)
	}
	for _, path := range paths {
		if argv, err := os.ReadFile(path); err == nil && bytes.Contains(argv, []byte("/podbottle/.service/")) {
			return number(filepath.Base(filepath.Dir(path)))
		}
	}
	return 0
}

// number reads a process id; 0 when there is none.
func number(text string) int {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		return 0
	}
	return n
}

// kill ends a process that may belong to a subordinate user.
func (l *killLab) kill(pid int) {
	l.t.Helper()
	if pid <= 0 {
		l.t.Fatal("the process to kill is not there")
	}
	// One that is gone already cannot be killed, which is no failure.
	command{argv: []string{"podman", "unshare", "kill", "-KILL", strconv.Itoa(pid)}}.run(l.t)
}

func (l *killLab) exists(kind, name string) bool {
	l.t.Helper()
	return command{argv: []string{"podman", kind, "exists", name}}.run(l.t).status == 0
}

// mended waits until list shows what is wrong, tries to get out, mends it as the
// documentation says, and returns what list showed.
func (l *killLab) mended(slug string, v victim) (shown string) {
	l.t.Helper()
	eventually(l.t, "list shows a bottle without "+v.name, func() bool {
		shown = l.must("list", "--format", "{{.Status}}: {{.ServiceNames}}")
		return strings.Contains(shown, v.listed) && (v.listed == "" || !strings.HasPrefix(shown, "running"))
	})
	l.inside(slug, attempts) // fails, as far as there is an agent left
	mend := v.mend
	// During the start the agent's handover may have failed, or fail only now.
	if strings.HasPrefix(l.must("list", "--format", "{{.Status}}"), "stopped") {
		mend = []string{"stop", "resume"}
	}
	for _, verb := range mend {
		args := []string{verb, slug}
		if verb == "resume" {
			args = append(args, "--detach", "--yes")
		}
		l.must(args...)
	}
	wants(l.t, l.must("list"), "running")
	l.works(slug)
	return shown
}

// works fails the test unless the agent reaches the host that it may reach.
func (l *killLab) works(slug string) {
	l.t.Helper()
	eventually(l.t, "the allowed host is reached", func() bool {
		return l.inside(slug, "curl -sS -m 60 https://upstream.test:8443/").stdout == "upstream\n"
	})
}

// stopAgain stops a bottle whose stop did not get to its end. Podman may still be
// at it, so that the bottle goes away by itself.
func (l *killLab) stopAgain(slug string) {
	l.t.Helper()
	l.run("stop", slug)
	eventually(l.t, slug+" is gone", func() bool { return l.must("list", "--quiet") == "" })
	l.must("cleanup", "--yes")
}

// resumed resumes a stopped bottle, wants what its agent made, and removes it.
func (l *killLab) resumed(slug string) {
	l.t.Helper()
	l.must("resume", slug, "--detach", "--yes")
	if got := l.inside(slug, "cat ~/result").stdout; got != "work\n" {
		l.t.Errorf("the agent's home is not as it was: %q", got)
	}
	l.works(slug)
	l.must("stop", "--discard", slug)
}

// nothingEscaped fails the test when anything arrived where the agent may not go.
func (l *killLab) nothingEscaped() {
	l.t.Helper()
	for _, r := range l.denied.requests() {
		l.t.Errorf("the agent got out: %s %s%s", r.method, r.host, r.path)
	}
}
