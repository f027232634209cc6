package verify

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"strings"
	"testing"

	"github.com/podbottle/podbottle/internal/verify/probe"
)

func sample(outcome probe.Outcome, runtime string, gvisor bool) *Report {
	return &Report{Slug: "x", Runtime: runtime, Firewall: "builtin", Lines: []Line{
		{Probe: probe.Probe{ID: "net.tcp4", Tried: "t", Control: "c", Breach: "b"}, User: "agent", Outcome: probe.Held, Seen: "no route"},
		{Probe: probe.Probe{ID: "kernel.seen", Tried: "t", Control: "c", Breach: "b", GVisor: gvisor}, User: "agent", Outcome: outcome, Seen: "seen \x1b[2J"},
	}}
}

func TestVerdict(t *testing.T) {
	for _, test := range []struct {
		report *Report
		want   string
	}{
		{sample(probe.Held, "runsc", true), "All 2 held."},
		{sample(probe.Breach, "runsc", true), "Not held: kernel.seen."},
		{sample(probe.Incomplete, "crun", true), "Not held: kernel.seen."},
		{sample(probe.Breach, "crun", true), "These need gVisor, which this bottle runs without: kernel.seen."},
		{sample(probe.Breach, "crun", false), "Not held: kernel.seen."},
	} {
		if got := test.report.verdict(); !strings.HasPrefix(got, test.want) {
			t.Errorf("verdict %q, want it to begin with %q", got, test.want)
		}
	}
}

func TestFormats(t *testing.T) {
	report := sample(probe.Breach, "runsc", false)
	report.Lines = append(report.Lines, Line{Probe: probe.Probe{ID: "dns.tls"}, Outcome: probe.Incomplete, Seen: "not run"})

	var human, text, junit bytes.Buffer
	if err := report.Human(&human); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(human.String(), "\x1b") || !strings.Contains(human.String(), "✗ kernel.seen as agent") {
		t.Errorf("report for people:\n%q", human.String())
	}
	if err := report.JSON(&text); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(text.Bytes(), &back); err != nil || len(back.Lines) != 3 || back.Lines[1].Outcome != probe.Breach {
		t.Errorf("JSON does not come back: %v\n%s", err, text.String())
	}
	if err := report.JUnit(&junit); err != nil {
		t.Fatal(err)
	}
	var suite junitSuite
	if err := xml.Unmarshal(junit.Bytes(), &suite); err != nil {
		t.Fatalf("%v\n%s", err, junit.String())
	}
	if suite.Tests != 3 || suite.Failures != 1 || suite.Errors != 1 || suite.Cases[1].Failure == nil || suite.Cases[2].Error == nil {
		t.Errorf("JUnit: %+v", suite)
	}
}
