//go:build e2e

package e2e

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// wholeMatrix is set by make reliability.
var wholeMatrix = flag.Bool("matrix", false, "let TestKill try every cell of its matrix and print it as a table")

// The moments at which TestKill kills.
const (
	atStart = "start"
	atRun   = "run"
	atStop  = "stop"
)

// victim is a process that TestKill ends with SIGKILL.
type victim struct {
	name string
	// pid finds it; 0 while it is not there.
	pid func(l *killLab, slug string) int
	// listed is what podbottle list shows once it is dead; empty when no bottle misses it.
	listed string
	// mend are the verbs, each given the slug, that the documentation says mend it.
	mend []string
	// moments are those at which it is there to be killed, lean those at which it
	// is killed in every run of the tests.
	moments, lean []string
}

// victims are the processes without which a bottle does not work. Podbottle itself
// is killed by TestKillPodbottle.
var victims = []victim{
	{"egress", containerPID("-egress"), "egress(exited)", []string{"restart"}, []string{atStart, atRun, atStop}, []string{atStart}},
	{"pipelock", containerPID("-pipelock"), "pipelock(exited)", []string{"restart"}, []string{atStart, atRun, atStop}, nil},
	{"git-gate", containerPID("-git-gate"), "git-gate(exited)", []string{"restart"}, []string{atStart, atRun, atStop}, []string{atRun}},
	{"supervise", containerPID("-supervise"), "supervise(exited)", []string{"restart"}, []string{atStart, atRun, atStop}, nil},
	{"infra", containerPID("-infra"), "infra(exited)", []string{"stop", "resume"}, []string{atStart, atRun, atStop}, []string{atRun}},
	{"the agent", containerPID(""), "agent(exited)", []string{"stop", "resume"}, []string{atStart, atRun, atStop}, nil},
	{"the agent's conmon", conmonPID(""), "agent(", []string{"stop", "resume"}, []string{atStart, atRun, atStop}, []string{atRun}},
	{"egress' conmon", conmonPID("-egress"), "egress(", []string{"restart"}, []string{atStart, atRun, atStop}, nil},
	{"Podman's API service", servicePID, "", nil, []string{atStart, atRun, atStop}, []string{atStart}},
	{"Podman's service for runsc", runscServicePID, "", nil, []string{atStart}, nil},
}

// TestKill kills each process of a bottle while it starts, runs and stops. The
// agent tries all the time to get out, by a literal address and by a host that is
// not allowed: nothing may arrive. list has to say what is wrong, the documented
// verbs have to mend it with the agent's home as it was, and nothing may be left.
func TestKill(t *testing.T) {
	table := map[string]string{}
	for _, v := range victims {
		for _, moment := range []string{atStart, atRun, atStop} {
			cell := v.name + " at " + moment
			table[cell] = "is not there"
			if !slices.Contains(v.moments, moment) || !*wholeMatrix && !slices.Contains(v.lean, moment) {
				continue
			}
			t.Run(cell, func(t *testing.T) {
				lab := newKillLab(t)
				switch moment {
				case atStart:
					table[cell] = lab.killAtStart(v)
				case atRun:
					table[cell] = lab.killAtRun(v)
				case atStop:
					table[cell] = lab.killAtStop(v)
				}
				lab.nothingEscaped()
				lab.nothingLeft(lab.before)
				if t.Failed() {
					table[cell] = "FAILED"
				}
			})
		}
	}
	if !*wholeMatrix {
		return
	}
	fmt.Printf("| killed | while the bottle starts | while it runs | while it stops |\n|---|---|---|---|\n")
	for _, v := range victims {
		fmt.Printf("| %s | %s | %s | %s |\n", v.name, table[v.name+" at "+atStart], table[v.name+" at "+atRun], table[v.name+" at "+atStop])
	}
}

// killAtStart kills the victim as soon as it is there. Either the start fails and
// takes down what it made, or it was done already.
func (l *killLab) killAtStart(v victim) string {
	l.t.Helper()
	started := l.podbottle("start", "k", "--detach", "--yes").start(l.t)
	var pid int
	for ended := false; pid == 0 && !ended; time.Sleep(5 * time.Millisecond) {
		ended = started.ended() // who ended while somebody looked is looked for once more
		if slugs := l.states(); len(slugs) > 0 {
			pid = v.pid(l, slugs[0])
		}
	}
	if pid == 0 {
		l.t.Fatalf("%s was never seen: %v", v.name, started.wait())
	}
	l.kill(pid)
	r := started.wait()
	if r.status != 0 {
		if r.status != 125 {
			l.t.Errorf("status %d, want 125: %s", r.status, r.stderr)
		}
		wants(l.t, r.stderr, "Error: ")
		l.nothingLeft(l.before)
		return "start fails and leaves nothing"
	}
	slug := strings.TrimSpace(r.stdout)
	l.mended(slug, v)
	l.must("stop", "--discard", slug)
	if v.listed == "" {
		return "start succeeds"
	}
	return "start succeeds, then as while it runs"
}

func (l *killLab) killAtRun(v victim) string {
	l.t.Helper()
	slug := l.start("k")
	l.must("list") // an API service has to be there to be killed
	l.works(slug)
	l.inside(slug, "echo work > ~/result")
	l.kill(v.pid(l, slug))
	shown := l.mended(slug, v)
	if got := l.inside(slug, "cat ~/result").stdout; got != "work\n" {
		l.t.Errorf("the agent's home is not as it was: %q", got)
	}
	l.must("stop", "--discard", slug)
	if v.listed == "" {
		return "nothing changes"
	}
	return fmt.Sprintf("`%s`; %s", shown, "`podbottle "+strings.Join(v.mend, "`, `podbottle ")+"`")
}

// killAtStop kills the victim while podbottle stop works, which may fail then:
// said again it has to succeed. What the agent made is there after resume.
func (l *killLab) killAtStop(v victim) string {
	l.t.Helper()
	slug := l.start("k")
	l.must("list")
	l.inside(slug, "echo work > ~/result")
	pid := v.pid(l, slug)
	stopped := l.podbottle("stop", slug).start(l.t)
	l.kill(pid)
	r := stopped.wait()
	outcome := "stops"
	if r.status != 0 {
		wants(l.t, r.stderr, "Error: ")
		l.stopAgain(slug)
		outcome = "stop fails with a reason; `podbottle stop` again"
	}
	l.resumed(slug)
	return outcome
}

// TestKillPodbottle kills podbottle itself; at start TestCleanupAfterACrash does in every run. What it was making can be cleaned up,
// what it was attached to goes on, and what it was stopping can be stopped.
func TestKillPodbottle(t *testing.T) {
	moments := map[string]func(l *killLab, slug string) bool{
		"networks": func(l *killLab, slug string) bool { return l.exists("network", "bot-bottle-"+slug+"-internal") },
		"pod":      func(l *killLab, slug string) bool { return l.exists("pod", "bot-bottle-"+slug+"-pod") },
		"agent":    func(l *killLab, slug string) bool { return l.exists("container", "bot-bottle-"+slug) },
		"running":  func(l *killLab, slug string) bool { return containerPID("")(l, slug) != 0 },
	}
	for name, reached := range moments {
		if !*wholeMatrix {
			continue
		}
		t.Run("at start, "+name, func(t *testing.T) {
			lab := newKillLab(t)
			started := lab.podbottle("start", "k", "--detach", "--yes").start(t)
			for !started.ended() {
				if slugs := lab.states(); len(slugs) > 0 && reached(lab, slugs[0]) {
					break
				}
				time.Sleep(5 * time.Millisecond)
			}
			lab.kill(started.pid())
			started.wait()
			lab.must("list", "--all")
			lab.must("cleanup", "--all", "--yes")
			lab.nothingEscaped()
			lab.nothingLeft(lab.before)
		})
	}
	t.Run("while it is attached", func(t *testing.T) {
		lab := newKillLab(t)
		started := lab.podbottle("start", "k", "--headless", "--prompt", "none", "--yes").start(t)
		for !strings.Contains(lab.must("list"), "running") {
			if started.ended() {
				t.Fatalf("start ended: %v", started.wait())
			}
			time.Sleep(50 * time.Millisecond)
		}
		slug := lab.must("list", "--quiet")
		lab.inside(slug, "echo work > ~/result")
		lab.kill(started.pid())
		started.wait()
		wants(t, lab.must("list"), "running")
		lab.works(slug)
		lab.must("stop", slug)
		lab.resumed(slug)
		lab.nothingEscaped()
		lab.nothingLeft(lab.before)
	})
	for _, after := range []time.Duration{50 * time.Millisecond, 400 * time.Millisecond} {
		if !*wholeMatrix && after > 100*time.Millisecond {
			continue
		}
		t.Run(fmt.Sprintf("%v after stop", after), func(t *testing.T) {
			lab := newKillLab(t)
			slug := lab.start("k")
			lab.inside(slug, "echo work > ~/result")
			stopped := lab.podbottle("stop", slug).start(t)
			time.Sleep(after)
			lab.kill(stopped.pid())
			stopped.wait()
			lab.stopAgain(slug)
			lab.resumed(slug)
			lab.nothingEscaped()
			lab.nothingLeft(lab.before)
		})
	}
}
