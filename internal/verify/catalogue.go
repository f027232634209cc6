package verify

import (
	"context"
	"fmt"
	"slices"

	"github.com/podbottle/podbottle/internal/verify/probe"
)

// hostProbe is a probe that runs on the host.
type hostProbe struct {
	probe.Probe
	own   bool // it needs a bottle of verify's own, which it changes or ends
	plain bool // and of verify's own manifest
	run   func(context.Context, *run) probe.Result
}

// Catalogue lists all probes, in the order of a report.
func Catalogue() []probe.Probe {
	list := probe.Inside()
	for _, p := range hostProbes() {
		list = append(list, p.Probe)
	}
	return list
}

// hostProbes are in the order in which they run: the last ones end the bottle.
func hostProbes() []hostProbe {
	return slices.Concat(outsideProbes(), copiesProbes(), workspaceProbes(), operatorProbes(), limitsProbes(), lifeProbes())
}

func result(outcome probe.Outcome, format string, args ...any) probe.Result {
	return probe.Result{Outcome: outcome, Seen: fmt.Sprintf(format, args...)}
}

func held(control, format string, args ...any) probe.Result {
	r := result(probe.Held, format, args...)
	r.Control = control
	return r
}

func breach(format string, args ...any) probe.Result { return result(probe.Breach, format, args...) }

// notEnforced is the outcome of a probe of a limit that this host does not enforce,
// which the start of every bottle says.
const notEnforced probe.Outcome = "not enforced"

func incomplete(format string, args ...any) probe.Result {
	return result(probe.Incomplete, format, args...)
}
