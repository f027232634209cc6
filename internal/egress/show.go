package egress

import (
	"fmt"
	"strings"
	"time"

	"github.com/podbottle/podbottle/internal/visible"
)

// Denied reports whether the record is of something that was refused.
func (r Record) Denied() bool { return r.Verdict == VerdictDeny }

// String is the record as one line for a person. What the agent chose in it is
// shown without anything that a terminal could act upon.
func (r Record) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %-5s", r.Time.UTC().Format(time.DateTime), visible.String(r.Verdict))
	switch r.Event {
	case EventRoutes:
		fmt.Fprintf(&b, " routes generation %d", r.Generation)
	case EventAgent:
		b.WriteString(" agent ready")
	default:
		fmt.Fprintf(&b, " %s %s", visible.String(r.Method), visible.String(r.Host))
		if r.Port != 0 && r.Port != 443 {
			fmt.Fprintf(&b, ":%d", r.Port)
		}
		b.WriteString(visible.String(r.Path))
		if r.Verdict != VerdictAllow {
			fmt.Fprintf(&b, " (%s)", visible.String(r.Reason))
		}
		if r.Status != 0 {
			fmt.Fprintf(&b, " %d", r.Status)
		}
		fmt.Fprintf(&b, " sent %d received %d in %.1f ms", r.Sent, r.Received, r.DurationMS)
	}
	if r.Detail != "" {
		b.WriteString(": " + visible.String(r.Detail))
	}
	return b.String()
}
