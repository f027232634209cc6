package egress

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestRoutesRoundTrip(t *testing.T) {
	routes := []Route{
		{
			Host: "api.example.org", PathAllowlist: []string{"/v1/"}, AuthScheme: SchemeHeader, AuthHeader: "x-api-key", TokenEnv: "EGRESS_TOKEN_0",
			TokenRef: "HOST_VARIABLE", Roles: []string{"claude_code_oauth"}, TLSPassthrough: true,
			SSRFIPAllowlist: []netip.Prefix{netip.MustParsePrefix("100.64.0.0/10")},
		},
		{
			Host: "*.example.net", Port: 8443, GitFetch: true, AllowReflection: true, AuthScheme: SchemeBearer, TokenEnv: "EGRESS_TOKEN_1",
			Matches: []Match{{
				Paths:   []PathMatch{{Type: "regex", Value: "/[a-z]+"}, {Type: "exact", Value: "/"}},
				Methods: []string{"GET"}, Headers: []HeaderMatch{{Name: "X-A", Value: "b"}},
				ExpiresAt: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),
			}},
		},
	}
	data, err := FormatRoutes(routes)
	if err != nil {
		t.Fatal(err)
	}
	for _, leaked := range []string{"HOST_VARIABLE", "claude_code_oauth", "100.64"} {
		if strings.Contains(string(data), leaked) {
			t.Errorf("the sidecar's table holds %q:\n%s", leaked, data)
		}
	}
	got, err := ParseRoutes(data)
	if err != nil {
		t.Fatal(err)
	}
	stays := cmpopts.IgnoreFields(Route{}, "TokenRef", "Roles", "SSRFIPAllowlist")
	if diff := cmp.Diff(routes, got, stays); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}

func TestParseRoutesRefuses(t *testing.T) {
	tests := map[string]string{
		"empty file":            "",
		"no version":            "routes: []",
		"other version":         "version: 2\nroutes: []",
		"unknown key":           "version: 1\nallow_all: true",
		"unknown route key":     "version: 1\nroutes: [{host: a.example, allow: all}]",
		"second document":       "version: 1\nroutes: []\n---\nversion: 1",
		"no YAML":               "version: [",
		"no host":               "version: 1\nroutes: [{port: 80}]",
		"capital host":          "version: 1\nroutes: [{host: A.example}]",
		"address":               "version: 1\nroutes: [{host: 127.0.0.1}]",
		"short address":         "version: 1\nroutes: [{host: '127.1'}]",
		"bare wildcard":         "version: 1\nroutes: [{host: '*'}]",
		"wildcard of a suffix":  "version: 1\nroutes: [{host: '*.org'}]",
		"inner wildcard":        "version: 1\nroutes: [{host: 'a.*.org'}]",
		"the proxy's own host":  "version: 1\nroutes: [{host: _egress.local}]",
		"host listed twice":     "version: 1\nroutes: [{host: a.example}, {host: a.example}]",
		"port":                  "version: 1\nroutes: [{host: a.example, port: 70000}]",
		"relative path":         "version: 1\nroutes: [{host: a.example, path_allowlist: [v1]}]",
		"dot segment":           "version: 1\nroutes: [{host: a.example, path_allowlist: [/a/../b]}]",
		"query":                 "version: 1\nroutes: [{host: a.example, path_allowlist: ['/a?b']}]",
		"scheme":                "version: 1\nroutes: [{host: a.example, auth_scheme: bearer, token_env: EGRESS_TOKEN_0}]",
		"scheme without slot":   "version: 1\nroutes: [{host: a.example, auth_scheme: Bearer}]",
		"slot without scheme":   "version: 1\nroutes: [{host: a.example, token_env: EGRESS_TOKEN_0}]",
		"slot is a path":        "version: 1\nroutes: [{host: a.example, auth_scheme: Bearer, token_env: ../ca.key}]",
		"header without name":   "version: 1\nroutes: [{host: a.example, auth_scheme: header, token_env: EGRESS_TOKEN_0}]",
		"header frames":         "version: 1\nroutes: [{host: a.example, auth_scheme: header, auth_header: Content-Length, token_env: EGRESS_TOKEN_0}]",
		"header with line end":  "version: 1\nroutes: [{host: a.example, auth_scheme: header, auth_header: \"a\\r\\nb\", token_env: EGRESS_TOKEN_0}]",
		"header and Bearer":     "version: 1\nroutes: [{host: a.example, auth_scheme: Bearer, auth_header: x, token_env: EGRESS_TOKEN_0}]",
		"empty match":           "version: 1\nroutes: [{host: a.example, matches: [{}]}]",
		"match type":            "version: 1\nroutes: [{host: a.example, matches: [{paths: [{type: glob, value: /a}]}]}]",
		"regex":                 "version: 1\nroutes: [{host: a.example, matches: [{paths: [{type: regex, value: '('}]}]}]",
		"lower-case method":     "version: 1\nroutes: [{host: a.example, matches: [{methods: [get]}]}]",
		"header match, no name": "version: 1\nroutes: [{host: a.example, matches: [{headers: [{value: x}]}]}]",
	}
	for name, text := range tests {
		if routes, err := ParseRoutes([]byte(text)); err == nil {
			t.Errorf("%s: read as %v", name, routes)
		}
	}
	if routes, err := ParseRoutes([]byte("version: 1\nroutes: []\n")); err != nil || len(routes) != 0 {
		t.Errorf("no routes: %v, %v", routes, err)
	}
}

// FuzzParseRoutes wants a table that is read to be written and read again as the same.
func FuzzParseRoutes(f *testing.F) {
	f.Add([]byte("version: 1\nroutes: [{host: a.example, path_allowlist: [/v1/], auth_scheme: Bearer, token_env: EGRESS_TOKEN_0}]"))
	f.Add([]byte("version: 1\nroutes: [{host: '*.a.example', matches: [{paths: [{type: regex, value: '/a|b'}], expires_at: 2030-01-01T00:00:00Z}]}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		routes, err := ParseRoutes(data)
		if err != nil {
			return
		}
		out, err := FormatRoutes(routes)
		if err != nil {
			t.Fatalf("read but not written: %v", err)
		}
		again, err := ParseRoutes(out)
		if err != nil {
			t.Fatalf("written but not read: %v\n%s", err, out)
		}
		if diff := cmp.Diff(routes, again, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("changed (-read +read again):\n%s", diff)
		}
	})
}
