package verify

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/podbottle/podbottle/internal/verify/probe"
	"github.com/podbottle/podbottle/internal/visible"
)

// Report is what a run found.
type Report struct {
	Slug     string        `json:"slug"`
	Runtime  string        `json:"runtime"`
	Firewall string        `json:"firewall"`
	Started  time.Time     `json:"started"`
	Duration time.Duration `json:"duration_ns"`
	Held     bool          `json:"held"`
	Lines    []Line        `json:"probes"`
	// LeftOut are probes that this bottle cannot be given: it has no route to
	// verify's servers, or is to go on running.
	LeftOut []string `json:"left_out,omitempty"`
	// NotEnforced are probes of limits that this host does not enforce.
	NotEnforced []string `json:"not_enforced,omitempty"`
}

// Line is one probe and what it saw.
type Line struct {
	probe.Probe
	User    string        `json:"user,omitempty"`
	Outcome probe.Outcome `json:"outcome"`
	Seen    string        `json:"seen"`
	Was     string        `json:"control_seen,omitempty"`
}

// name tells the line's probe and user.
func (l Line) name() string {
	if l.User == "" {
		return l.ID
	}
	return l.ID + " as " + l.User
}

// Human writes a table by class, the failures with everything that is known of them.
func (r *Report) Human(w io.Writer) error {
	var b strings.Builder
	class := ""
	for _, l := range r.Lines {
		if l.Class() != class {
			class = l.Class()
			fmt.Fprintf(&b, "%s\n", class)
		}
		mark := "✓"
		if l.Outcome != probe.Held {
			mark = "✗"
		}
		fmt.Fprintf(&b, "  %s %-34s %s\n", mark, l.name(), short(visible.String(l.Seen)))
		if l.Outcome != probe.Held {
			fmt.Fprintf(&b, "      %s: %s\n      tried: %s\n      control: %s\n      a breach would be: %s\n", l.Outcome, visible.String(l.Seen), l.Tried, l.Control, l.Breach)
		}
	}
	fmt.Fprintf(&b, "\n%s\n", r.verdict())
	_, err := io.WriteString(w, b.String())
	return err
}

// short cuts what was seen to a line.
func short(text string) string {
	const most = 110
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}

// verdict is the last line.
func (r *Report) verdict() string {
	failed, gvisor := map[string]bool{}, map[string]bool{}
	for _, l := range r.Lines {
		switch {
		case l.Outcome == probe.Held:
		case l.GVisor && l.Outcome == probe.Breach && r.Runtime != "runsc":
			gvisor[l.ID] = true
		default:
			failed[l.ID] = true
		}
	}
	where := fmt.Sprintf("%s (%s, firewall %s) in %.1f s", r.Slug, r.Runtime, r.Firewall, r.Duration.Seconds())
	var parts []string
	if len(failed) > 0 {
		parts = append(parts, "Not held: "+list(failed)+".")
	}
	if len(gvisor) > 0 {
		parts = append(parts, "These need gVisor, which this bottle runs without: "+list(gvisor)+".")
	}
	if len(parts) == 0 {
		parts = append(parts, fmt.Sprintf("All %d held.", len(r.Lines)))
	}
	if len(r.LeftOut) > 0 {
		parts = append(parts, fmt.Sprintf("%d were left out, since this bottle has no route to verify's servers, goes on running, or has no other beside it; podbottle verify without a slug makes them.", len(r.LeftOut)))
	}
	if len(r.NotEnforced) > 0 {
		parts = append(parts, "This host does not enforce what these would try: "+strings.Join(r.NotEnforced, ", ")+" (podbottle doctor says why).")
	}
	return strings.Join(parts, " ") + " " + where
}

// list is the keys of a set.
func list(set map[string]bool) string { return strings.Join(slices.Sorted(maps.Keys(set)), ", ") }

// JSON writes the report as one object.
func (r *Report) JSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// junitSuite is the XML that build servers read: one test case a probe.
type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Time     string      `xml:"time,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Failure *junitProblem `xml:"failure,omitempty"`
	Error   *junitProblem `xml:"error,omitempty"`
}

type junitProblem struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// JUnit writes the report as a JUnit test suite: a breach is a failure, a probe
// that could not run an error.
func (r *Report) JUnit(w io.Writer) error {
	suite := junitSuite{Name: "podbottle verify " + r.Slug, Tests: len(r.Lines), Time: fmt.Sprintf("%.3f", r.Duration.Seconds())}
	for _, l := range r.Lines {
		c := junitCase{Class: l.Class(), Name: l.name()}
		problem := &junitProblem{Message: visible.String(l.Seen), Text: "tried: " + l.Tried + "\ncontrol: " + l.Control + "\na breach would be: " + l.Breach}
		switch l.Outcome {
		case probe.Breach:
			c.Failure = problem
			suite.Failures++
		case probe.Incomplete:
			c.Error = problem
			suite.Errors++
		}
		suite.Cases = append(suite.Cases, c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	encoder := xml.NewEncoder(w)
	encoder.Indent("", "  ")
	if err := encoder.Encode(suite); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
