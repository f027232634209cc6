package proxy

import (
	"net/http"
	"testing"
	"time"

	"github.com/podbottle/podbottle/internal/egress"
)

func TestDecide(t *testing.T) {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	policy, err := newPolicy([]egress.Route{
		{Host: "open.example"},
		{Host: "*.wild.example"},
		{Host: "*.deep.wild.example", PathAllowlist: []string{"/deep/"}},
		{Host: "exact.wild.example", PathAllowlist: []string{"/exact"}},
		{Host: "port.example", Port: 8443},
		{Host: "paths.example", PathAllowlist: []string{"/v1/", "/health"}},
		{Host: "git.example", GitFetch: true},
		{Host: "matches.example", Matches: []egress.Match{
			{Paths: []egress.PathMatch{{Type: "prefix", Value: "/api"}}, Methods: []string{"GET", "HEAD"}},
			{Paths: []egress.PathMatch{{Type: "exact", Value: "/upload"}, {Type: "regex", Value: "/u/[0-9]+|/w"}}, Methods: []string{"POST"}, Headers: []egress.HeaderMatch{{Name: "X-Kind", Value: "a"}}},
			{Paths: []egress.PathMatch{{Type: "exact", Value: "/soon"}}, ExpiresAt: now.Add(time.Minute)},
			{Paths: []egress.PathMatch{{Type: "exact", Value: "/late"}}, ExpiresAt: now},
		}},
		{Host: "both.example", PathAllowlist: []string{"/a/"}, Matches: []egress.Match{{Methods: []string{"GET"}}}},
	}, 1)
	if err != nil {
		t.Fatal(err)
	}
	https := func(method, host, path string) question {
		return question{method: method, host: host, port: 443, tls: true, path: parsePath(path), now: now, header: http.Header{}}
	}
	edit := func(q question, f func(*question)) question { f(&q); return q }
	kind := func(q *question) { q.header.Set("X-Kind", "a") }
	tests := []struct {
		name string
		q    question
		want Reason
	}{
		{"any path", https("GET", "open.example", "/x"), ReasonAllowed},
		{"any method", https("DELETE", "open.example", "/x"), ReasonAllowed},
		{"no route", https("GET", "closed.example", "/"), ReasonHost},
		{"subdomain of an exact host", https("GET", "a.open.example", "/"), ReasonHost},
		{"suffix without dot", https("GET", "xopen.example", "/"), ReasonHost},
		{"wildcard", https("GET", "a.wild.example", "/"), ReasonAllowed},
		{"wildcard, two labels", https("GET", "a.b.wild.example", "/"), ReasonAllowed},
		{"wildcard is not its domain", https("GET", "wild.example", "/"), ReasonHost},
		{"exact before wildcard", https("GET", "exact.wild.example", "/other"), ReasonPath},
		{"longest wildcard first", https("GET", "a.deep.wild.example", "/other"), ReasonPath},
		{"port 80", edit(https("GET", "open.example", "/"), func(q *question) { q.port, q.tls = 80, false }), ReasonAllowed},
		{"port 443 without TLS", edit(https("GET", "open.example", "/"), func(q *question) { q.tls = false }), ReasonPort},
		{"own port", edit(https("GET", "port.example", "/"), func(q *question) { q.port = 8443 }), ReasonAllowed},
		{"443 beside the own port", https("GET", "port.example", "/"), ReasonAllowed},
		{"other port", edit(https("GET", "open.example", "/"), func(q *question) { q.port = 8443 }), ReasonPort},
		{"ssh port", edit(https("GET", "port.example", "/"), func(q *question) { q.port = 22 }), ReasonPort},
		{"path prefix", https("GET", "paths.example", "/v1/x"), ReasonAllowed},
		{"path prefix is a string", https("GET", "paths.example", "/healthz"), ReasonAllowed},
		{"other path", https("GET", "paths.example", "/v2/x"), ReasonPath},
		{"out of the prefix by dots", https("GET", "paths.example", "/v1/../v2"), ReasonPath},
		{"into the prefix by dots", https("GET", "paths.example", "/v2/../v1/x"), ReasonAllowed},
		{"encoded dots", https("GET", "paths.example", "/v1/%2e%2e/v2"), ReasonPath},
		{"encoded slash under conditions", https("GET", "paths.example", "/v1/a%2fb"), ReasonAmbiguousPath},
		{"encoded slash without conditions", https("GET", "open.example", "/@scope%2fname"), ReasonAllowed},
		{"encoded twice", https("GET", "paths.example", "/v1/%252e%252e/v2"), ReasonAmbiguousPath},
		{"NUL anywhere", https("GET", "open.example", "/a%00"), ReasonBadRequest},
		{"match: prefix by segment", https("GET", "matches.example", "/api/x"), ReasonAllowed},
		{"match: prefix itself", https("GET", "matches.example", "/api"), ReasonAllowed},
		{"match: half a segment", https("GET", "matches.example", "/apix"), ReasonPath},
		{"match: method", https("POST", "matches.example", "/api/x"), ReasonRule},
		{"match: header missing", https("POST", "matches.example", "/upload"), ReasonRule},
		{"match: header", edit(https("POST", "matches.example", "/upload"), kind), ReasonAllowed},
		{"match: regex", edit(https("POST", "matches.example", "/u/42"), kind), ReasonAllowed},
		{"match: regex is anchored", edit(https("POST", "matches.example", "/u/42/x"), kind), ReasonPath},
		{"match: alternation is anchored", edit(https("POST", "matches.example", "/w/x"), kind), ReasonPath},
		{"match: not yet expired", https("GET", "matches.example", "/soon"), ReasonAllowed},
		{"match: expired", https("GET", "matches.example", "/late"), ReasonExpired},
		{"allowlist and matches", https("GET", "both.example", "/a/x"), ReasonAllowed},
		{"allowlist without match", https("POST", "both.example", "/a/x"), ReasonRule},
		{"match without allowlist", https("GET", "both.example", "/b"), ReasonPath},
		{"TRACE", https("TRACE", "open.example", "/"), ReasonMethod},
		{"CONNECT in a tunnel", https("CONNECT", "open.example", "/"), ReasonMethod},
		{"git push", https("POST", "git.example", "/r.git/git-receive-pack"), ReasonGitPush},
		{"git push to an unlisted host", https("POST", "closed.example", "/r.git/git-receive-pack"), ReasonGitPush},
		{"git fetch", https("POST", "git.example", "/r.git/git-upload-pack"), ReasonAllowed},
		{"git fetch without permission", https("POST", "open.example", "/r.git/git-upload-pack"), ReasonGitFetch},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := policy.decide(tt.q); got.reason != tt.want {
				t.Errorf("decide = %s (%s), want %s", got.reason, got.detail, tt.want)
			}
		})
	}
}

func TestAnEmptyPolicyAllowsNothing(t *testing.T) {
	for _, p := range []*policy{{}, mustPolicy(t, nil)} {
		q := question{method: "GET", host: "a.example", port: 443, tls: true, path: parsePath("/")}
		if got := p.decide(q); got.reason != ReasonHost {
			t.Errorf("decide = %s", got.reason)
		}
	}
}

func mustPolicy(t *testing.T, routes []egress.Route) *policy {
	t.Helper()
	p, err := newPolicy(routes, 1)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestWantsJSON(t *testing.T) {
	for accept, want := range map[string]bool{
		"": false, "*/*": false, "text/html": false, "application/json": true, "text/plain, application/problem+json;q=0.5": true,
		"application/json;q=0": false, "application/json;q=0.0": false, "APPLICATION/JSON": true, ";;,": false,
	} {
		if got := wantsJSON(accept); got != want {
			t.Errorf("wantsJSON(%q) = %v", accept, got)
		}
	}
}
