package proxy

import (
	"strings"
	"testing"

	"github.com/podbottle/podbottle/internal/denial"
)

func TestAdvice(t *testing.T) {
	const egressBlock, pipelockBlock = "egress-block", "pipelock-block"
	for _, test := range []struct {
		name     string
		refusal  refusal
		ask      string // what supervise is asked with
		manifest string // the route without its indentation
	}{
		{"host", refusal{Reason: ReasonHost, Host: "a.example.org", Port: 443}, egressBlock + ` of the MCP server supervise with host "a.example.org"`, "- host: a.example.org"},
		{"host on another port", refusal{Reason: ReasonHost, Host: "a.example.org", Port: 8443}, pipelockBlock, "- host: a.example.org:8443"},
		{"port", refusal{Reason: ReasonPort, Host: "a.example.org", Port: 8443}, pipelockBlock, "- host: a.example.org:8443"},
		{"path", refusal{Reason: ReasonPath, Host: "a.example.org", Port: 8443, Path: "/x y"}, `and path_allowlist ["/x y"]`, "- host: a.example.org:8443\npath_allowlist: [\"/x y\"]"},
		{"git", refusal{Reason: ReasonGitFetch, Host: "a.example.org", Port: 443}, "", "- host: a.example.org\ngit: {fetch: true}"},
		{"address", refusal{Reason: Reason(denial.Address), Host: "a.example.org", Port: 443}, "", "- host: a.example.org\npipelock: {ssrf_ip_allowlist: [ADDRESS/32]}"},
		{"firewall", refusal{Reason: Reason(denial.Host), Host: "a.example.org", Port: 443}, pipelockBlock, ""},
		{"method", refusal{Reason: ReasonMethod, Host: "a.example.org", Port: 443}, "", ""},
	} {
		with, without := test.refusal, test.refusal
		with.advise("", true)
		without.advise("", false)
		if without.Ask != "" {
			t.Errorf("%s: without supervise the agent is told to %s", test.name, without.Ask)
		}
		if !strings.Contains(with.Ask, test.ask) || (test.ask == "") != (with.Ask == "") {
			t.Errorf("%s: the agent is told to %q, want %q", test.name, with.Ask, test.ask)
		}
		var lines []string
		for _, line := range strings.Split(strings.TrimPrefix(with.Manifest, "egress:\n  routes:\n"), "\n") {
			lines = append(lines, strings.TrimSpace(line))
		}
		if got := strings.Join(lines, "\n"); got != test.manifest || without.Manifest != with.Manifest {
			t.Errorf("%s: the operator would write %q, want %q", test.name, got, test.manifest)
		}
	}
}
