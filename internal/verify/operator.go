package verify

import (
	"bytes"
	"context"
	"strings"

	"github.com/podbottle/podbottle/internal/blueprint"
	"github.com/podbottle/podbottle/internal/breakage"
	"github.com/podbottle/podbottle/internal/pod"
	"github.com/podbottle/podbottle/internal/verify/probe"
)

func operatorProbes() []hostProbe {
	return []hostProbe{
		{Probe: probe.Probe{
			ID:      "operator.escapes",
			Tried:   "have the agent print, and send to egress, text that upsets a terminal; then show the logs and the audit file as the operator sees them",
			Control: "the text's mark is shown",
			Breach:  "a control character, or one that turns the direction of writing, is shown",
		}, run: escapesProbe, own: true},
	}
}

// escapesProbe shows the agent's own output, which it begins with probe.Escapes.
func escapesProbe(ctx context.Context, r *run) probe.Result {
	var out bytes.Buffer
	l := r.ownLauncher(&out, &out)
	for _, service := range []blueprint.Service{blueprint.Agent, blueprint.Egress} {
		if err := l.Logs(ctx, r.slug, string(service), pod.LogRange{}, breakage.Has("escapes")); err != nil {
			return incomplete("%v", err)
		}
	}
	if !strings.Contains(out.String(), r.mark+"-hold-1") {
		return incomplete("the mark that the agent printed is not shown")
	}
	if c := acting(out.String()); c != 0 {
		return breach("the logs show the character %U", c)
	}
	return held("the mark is shown", "%d bytes of logs, none of them acts on a terminal", out.Len())
}

// acting returns a character of a text that a terminal acts on, or that turns the
// direction of writing; 0 for none.
func acting(text string) rune {
	for _, c := range text {
		switch {
		case c == '\n':
		case c < ' ', c == 0x7f, c >= 0x80 && c < 0xa0, c >= 0x202a && c <= 0x202e, c >= 0x2066 && c <= 0x2069:
			return c
		}
	}
	return 0
}
