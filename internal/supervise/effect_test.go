package supervise

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/podbottle/podbottle/internal/egress"
)

var noon = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

func prefix(path string) []egress.PathMatch {
	return []egress.PathMatch{{Type: "prefix", Value: path}}
}

func TestEffect(t *testing.T) {
	until := noon.Add(30 * time.Minute)
	get := []string{"GET"}
	for _, test := range []struct {
		name    string
		current []egress.Route
		ask     Ask
		until   time.Time
		want    []egress.Route // nil for no change
		slot    string
		summary []string // parts
		warning string   // part of one
		err     string
	}{
		{
			name: "new host, everything", ask: Ask{EgressRequest: EgressRequest{Host: "a.example.org"}},
			want: []egress.Route{{Host: "a.example.org"}}, summary: []string{"every kind of request", "a.example.org", "on every path", "without any credential."},
			warning: "Every path",
		},
		{
			name: "new host, a path, methods", ask: Ask{EgressRequest: EgressRequest{Host: "a.example.org", PathAllowlist: []string{"/v1/"}, Methods: get}},
			want:    []egress.Route{{Host: "a.example.org", Matches: []egress.Match{{Paths: prefix("/v1/"), Methods: get}}}},
			summary: []string{"GET requests", "on /v1/ and below", "without any credential."},
		},
		{
			name: "new host for a time", ask: Ask{EgressRequest: EgressRequest{Host: "a.example.org"}}, until: until,
			want:    []egress.Route{{Host: "a.example.org", Matches: []egress.Match{{Paths: prefix("/"), ExpiresAt: until}}}},
			summary: []string{", until "},
		},
		{
			name:    "new host with a credential",
			current: []egress.Route{{Host: "x.example.org", AuthScheme: "Bearer", TokenEnv: "EGRESS_TOKEN_4"}},
			ask:     Ask{EgressRequest: EgressRequest{Host: "a.example.org", PathAllowlist: []string{"/v1"}, Auth: &AuthRequest{Scheme: "header", Header: "x-api-key", TokenRef: "SOME_KEY"}}},
			want: []egress.Route{
				{Host: "x.example.org", AuthScheme: "Bearer", TokenEnv: "EGRESS_TOKEN_4"},
				{Host: "a.example.org", Matches: []egress.Match{{Paths: prefix("/v1")}}, AuthScheme: "header", AuthHeader: "x-api-key", TokenEnv: "EGRESS_TOKEN_5"},
			},
			slot: "EGRESS_TOKEN_5", summary: []string{"new credential", "header x-api-key", "never sees"}, warning: "SOME_KEY",
		},
		{
			name:    "known host, another path: its credential goes along",
			current: []egress.Route{{Host: "a.example.org", PathAllowlist: []string{"/v1/", "/h.lth"}, AuthScheme: "Bearer", TokenEnv: "EGRESS_TOKEN_0"}},
			ask:     Ask{EgressRequest: EgressRequest{Host: "a.example.org", PathAllowlist: []string{"/v2/"}, Auth: &AuthRequest{Scheme: "token", TokenRef: "OTHER"}}},
			want: []egress.Route{{Host: "a.example.org", AuthScheme: "Bearer", TokenEnv: "EGRESS_TOKEN_0", Matches: []egress.Match{
				{Paths: []egress.PathMatch{{Type: "regex", Value: "(?s)/v1/.*"}, {Type: "regex", Value: `(?s)/h\.lth.*`}}},
				{Paths: prefix("/v2/")},
			}}},
			summary: []string{"with the credential EGRESS_TOKEN_0 that this host has already"}, warning: "left out",
		},
		{
			name:    "known host, more methods on one path",
			current: []egress.Route{{Host: "a.example.org", Matches: []egress.Match{{Paths: prefix("/v1/"), Methods: get}}}},
			ask:     Ask{EgressRequest: EgressRequest{Host: "a.example.org", PathAllowlist: []string{"/v1/"}, Methods: []string{"POST"}}},
			want: []egress.Route{{Host: "a.example.org", Matches: []egress.Match{
				{Paths: prefix("/v1/"), Methods: get}, {Paths: prefix("/v1/"), Methods: []string{"POST"}},
			}}},
			warning: "send data",
		},
		{
			name:    "known host, everything",
			current: []egress.Route{{Host: "a.example.org", PathAllowlist: []string{"/v1/"}}},
			ask:     Ask{EgressRequest: EgressRequest{Host: "a.example.org"}},
			want:    []egress.Route{{Host: "a.example.org"}},
		},
		{
			name:    "known host without conditions",
			current: []egress.Route{{Host: "a.example.org"}},
			ask:     Ask{EgressRequest: EgressRequest{Host: "a.example.org", PathAllowlist: []string{"/v2/"}}},
			summary: []string{"Permits nothing new"}, warning: "another reason",
		},
		{
			name:    "covered by a prefix",
			current: []egress.Route{{Host: "a.example.org", PathAllowlist: []string{"/v1/"}}},
			ask:     Ask{EgressRequest: EgressRequest{Host: "a.example.org", PathAllowlist: []string{"/v1/models"}, Methods: get}},
			summary: []string{"Permits nothing new"},
		},
		{
			name:    "covered for a time, asked for longer",
			current: []egress.Route{{Host: "a.example.org", Matches: []egress.Match{{Paths: prefix("/v1"), ExpiresAt: until}}}},
			ask:     Ask{EgressRequest: EgressRequest{Host: "a.example.org", PathAllowlist: []string{"/v1/"}}},
			want:    []egress.Route{{Host: "a.example.org", Matches: []egress.Match{{Paths: prefix("/v1"), ExpiresAt: until}, {Paths: prefix("/v1/")}}}},
		},
		{
			name: "ended approvals go",
			current: []egress.Route{
				{Host: "old.example.org", Matches: []egress.Match{{Paths: prefix("/"), ExpiresAt: noon}}},
				{Host: "b.example.org", Matches: []egress.Match{{Methods: get}, {Paths: prefix("/"), ExpiresAt: noon.Add(-time.Hour)}}},
			},
			ask:  Ask{EgressRequest: EgressRequest{Host: "a.example.org"}},
			want: []egress.Route{{Host: "b.example.org", Matches: []egress.Match{{Methods: get}}}, {Host: "a.example.org"}},
		},
		{
			name: "an ended approval gives its host nothing",
			current: []egress.Route{
				{Host: "a.example.org", Matches: []egress.Match{{Paths: prefix("/"), ExpiresAt: noon}}},
			},
			ask:  Ask{EgressRequest: EgressRequest{Host: "a.example.org", PathAllowlist: []string{"/x"}}},
			want: []egress.Route{{Host: "a.example.org", Matches: []egress.Match{{Paths: prefix("/x")}}}},
		},
		{
			name:    "below a wildcard: what that permits stays",
			current: []egress.Route{{Host: "*.example.org", PathAllowlist: []string{"/pub/"}, AuthScheme: "Bearer", TokenEnv: "EGRESS_TOKEN_0"}},
			ask:     Ask{EgressRequest: EgressRequest{Host: "a.example.org", PathAllowlist: []string{"/x/"}}},
			want: []egress.Route{
				{Host: "*.example.org", PathAllowlist: []string{"/pub/"}, AuthScheme: "Bearer", TokenEnv: "EGRESS_TOKEN_0"},
				{Host: "a.example.org", AuthScheme: "Bearer", TokenEnv: "EGRESS_TOKEN_0", Matches: []egress.Match{
					{Paths: []egress.PathMatch{{Type: "regex", Value: "(?s)/pub/.*"}}}, {Paths: prefix("/x/")},
				}},
			},
			summary: []string{"with the credential EGRESS_TOKEN_0"},
		},
		{
			name:    "path_allowlist and matches with methods",
			current: []egress.Route{{Host: "a.example.org", PathAllowlist: []string{"/v1/"}, Matches: []egress.Match{{Methods: get}}}},
			ask:     Ask{EgressRequest: EgressRequest{Host: "a.example.org", PathAllowlist: []string{"/v2/"}}},
			want: []egress.Route{{Host: "a.example.org", Matches: []egress.Match{
				{Paths: []egress.PathMatch{{Type: "regex", Value: "(?s)/v1/.*"}}, Methods: get}, {Paths: prefix("/v2/")},
			}}},
		},
		{
			name:    "path_allowlist and matches with paths",
			current: []egress.Route{{Host: "a.example.org", PathAllowlist: []string{"/v1/"}, Matches: []egress.Match{{Paths: prefix("/v1/x")}}}},
			ask:     Ask{EgressRequest: EgressRequest{Host: "a.example.org", PathAllowlist: []string{"/v2/"}}},
			err:     "by hand",
		},
		{
			name: "a port", ask: Ask{EgressRequest: EgressRequest{Host: "a.example.org", PathAllowlist: []string{"/x"}}, Port: 8443},
			want:    []egress.Route{{Host: "a.example.org", Port: 8443, Matches: []egress.Match{{Paths: prefix("/x")}}}},
			summary: []string{"ports 443, 80 and 8443"},
		},
		{
			name: "a port for a time", ask: Ask{EgressRequest: EgressRequest{Host: "a.example.org"}, Port: 8443}, until: until,
			want: []egress.Route{{Host: "a.example.org", Port: 8443, Matches: []egress.Match{{Paths: prefix("/"), ExpiresAt: until}}}},
		},
		{
			name:    "a port for a time on a known host",
			current: []egress.Route{{Host: "a.example.org", PathAllowlist: []string{"/v1/"}}},
			ask:     Ask{EgressRequest: EgressRequest{Host: "a.example.org", PathAllowlist: []string{"/v1/"}}, Port: 8443}, until: until,
			err: "for the bottle",
		},
		{
			name:    "a second port",
			current: []egress.Route{{Host: "a.example.org", Port: 8080}},
			ask:     Ask{EgressRequest: EgressRequest{Host: "a.example.org"}, Port: 8443},
			err:     "8080 already",
		},
		{
			name:    "a look-alike",
			current: []egress.Route{{Host: "registry.example.com"}},
			ask:     Ask{EgressRequest: EgressRequest{Host: "registry.examp1e.com", PathAllowlist: []string{"/"}}},
			want:    []egress.Route{{Host: "registry.example.com"}, {Host: "registry.examp1e.com", Matches: []egress.Match{{Paths: prefix("/")}}}},
			warning: "looks like registry.example.com",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			table, err := egress.FormatRoutes(test.current)
			if err != nil {
				t.Fatal(err)
			}
			c, err := Effect(test.ask, table, noon, test.until)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("error %v, want %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := table
			if test.want != nil {
				if want, err = egress.FormatRoutes(test.want); err != nil {
					t.Fatal(err)
				}
			}
			if string(c.After) != string(want) {
				t.Errorf("afterwards:\n%s\nwant:\n%s", c.After, want)
			}
			if c.Nothing != (test.want == nil) || (c.Diff == "") != c.Nothing {
				t.Errorf("nothing %v, diff %q", c.Nothing, c.Diff)
			}
			if c.Slot != test.slot {
				t.Errorf("slot %q, want %q", c.Slot, test.slot)
			}
			for _, part := range test.summary {
				if !strings.Contains(c.Summary, part) {
					t.Errorf("summary %q lacks %q", c.Summary, part)
				}
			}
			if !slices.ContainsFunc(append(c.Warnings, ""), func(w string) bool { return strings.Contains(w, test.warning) && (w != "" || test.warning == "") }) {
				t.Errorf("warnings %q lack %q", c.Warnings, test.warning)
			}
		})
	}
}

func TestEffectRefusesDamagedTable(t *testing.T) {
	for _, table := range []string{"", "version: 1\nroutes: [{}]\n", "version: 1\nroutes:\n- host: a.example.org\n  surprise: 1\n"} {
		if _, err := Effect(Ask{EgressRequest: EgressRequest{Host: "b.example.org"}}, []byte(table), noon, time.Time{}); err == nil {
			t.Errorf("table %q was taken", table)
		}
	}
}
