// Package probe attacks a bottle from inside its agent's container. It runs in
// the sidecars' program, so that it needs nothing of the agent's image, and says
// of each attack what it saw. It decides nothing that the host can see better:
// what reached a server outside is judged there, by the marks in a Result.
package probe

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Outcome is what became of a probe.
type Outcome string

// The outcomes. Only Held is good: what could not be tried is no containment.
const (
	Held       Outcome = "held"
	Breach     Outcome = "breach"
	Incomplete Outcome = "incomplete"
)

// Probe describes one attack.
type Probe struct {
	// ID is <class>.<name>. It stays as it is for good.
	ID string `json:"id"`
	// Tried is what is attempted.
	Tried string `json:"tried"`
	// Control is the paired attempt that has to succeed, so that a target that is
	// not there, or an attack that cannot work, does not pass as containment.
	Control string `json:"control"`
	// Breach is what would break the boundary.
	Breach string `json:"breach"`
	// GVisor marks a probe that only a kernel of the agent's own can pass.
	GVisor bool `json:"gvisor,omitempty"`
	// Server marks a probe that needs verify's servers and their route, which only a
	// bottle that verify itself started has.
	Server bool `json:"server,omitempty"`
	// Others marks a probe that needs another bottle.
	Others bool `json:"others,omitempty"`
	// Root marks a probe that root in the container tries as well, since it might get further.
	Root bool `json:"root,omitempty"`
}

// Class is the first part of the ID.
func (p Probe) Class() string {
	class, _, _ := strings.Cut(p.ID, ".")
	return class
}

// Result is what one probe saw.
type Result struct {
	ID      string  `json:"id"`
	User    string  `json:"user,omitempty"` // agent | root; empty for a probe on the host
	Outcome Outcome `json:"outcome"`
	Seen    string  `json:"seen"`
	Control string  `json:"control,omitempty"`
	// Absent are marks that must not have reached any server of verify's.
	Absent []string `json:"absent,omitempty"`
	// Present are marks that must have.
	Present []string `json:"present,omitempty"`
}

// inside is a probe that runs in the agent's container.
type inside struct {
	Probe
	run func(context.Context, *bottle) Result
}

// probeTime bounds one probe. On a machine with nothing else to do all of them
// together take some seconds; it is meant for one that hangs.
const probeTime = time.Minute

// together bounds how many probes run at once.
const together = 12

// Inside lists the probes that run in the agent's container.
func Inside() []Probe {
	all := catalogue()
	list := make([]Probe, len(all))
	for i, p := range all {
		list[i] = p.Probe
	}
	return list
}

// Run tries everything that the task has targets for.
func Run(ctx context.Context, task Task) []Result {
	b := newBottle(task)
	var list []inside
	for _, p := range catalogue() {
		if (!p.Server || task.Server != nil) && (!p.Others || len(task.Others) > 0) && (p.Root || task.User != "root") {
			list = append(list, p)
		}
	}
	results := make([]Result, len(list))
	slots := make(chan struct{}, together)
	var group sync.WaitGroup
	for i, p := range list {
		slots <- struct{}{}
		group.Add(1)
		go func() {
			defer group.Done()
			defer func() { <-slots }()
			results[i] = runOne(ctx, b, p)
		}()
	}
	group.Wait()
	return results
}

func runOne(ctx context.Context, b *bottle, p inside) Result {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	done := make(chan Result, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				done <- incomplete("the probe failed: %v", r)
			}
		}()
		done <- p.run(ctx, b)
	}()
	var result Result
	select {
	case result = <-done:
	case <-ctx.Done():
		result = incomplete("not finished within %s", probeTime)
	}
	result.ID, result.User = p.ID, b.task.User
	return result
}

func held(format string, args ...any) Result {
	return Result{Outcome: Held, Seen: fmt.Sprintf(format, args...)}
}

func breach(format string, args ...any) Result {
	return Result{Outcome: Breach, Seen: fmt.Sprintf(format, args...)}
}

func incomplete(format string, args ...any) Result {
	return Result{Outcome: Incomplete, Seen: fmt.Sprintf(format, args...)}
}

// with adds what the control saw.
func (r Result) with(format string, args ...any) Result {
	r.Control = fmt.Sprintf(format, args...)
	return r
}
