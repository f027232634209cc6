package pipelock

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/podbottle/podbottle/internal/egress"
)

var testRoutes = []egress.Route{
	{Host: "api.example.org", AuthScheme: egress.SchemeHeader, AuthHeader: "X-Api-Key", TokenEnv: "EGRESS_TOKEN_0", TLSPassthrough: true},
	{Host: "*.example.net", SSRFIPAllowlist: []netip.Prefix{netip.MustParsePrefix("100.64.0.0/10")}},
}

func TestConfigRoundTrip(t *testing.T) {
	want := NewConfig(testRoutes)
	data, err := want.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseConfig(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}

func TestConfigWithoutRoutesAllowsNothingThatExists(t *testing.T) {
	if got := NewConfig(nil).APIAllowlist; len(got) != 1 || got[0] != egress.IntrospectionHost {
		t.Errorf("api_allowlist %q", got)
	}
}

func TestConfigFollowsTheRoutes(t *testing.T) {
	c := NewConfig(testRoutes)
	for host, want := range map[string]bool{"api.example.org": true, "a.example.net": true, "a.b.example.net": true, "example.net": false, "xapi.example.org": false, "": false} {
		if got := c.Allows(host); got != want {
			t.Errorf("Allows(%q) = %v", host, got)
		}
	}
	if !c.PassesThrough("api.example.org") || c.PassesThrough("a.example.net") {
		t.Errorf("passthrough_domains %q", c.TLSInterception.PassthroughDomains)
	}
	if diff := cmp.Diff([]string{"Authorization", "X-Api-Key"}, c.RequestBodyScanning.IgnoreHeaders); diff != "" {
		t.Errorf("ignore_headers (-want +got):\n%s", diff)
	}
}

func TestParseConfigRefuses(t *testing.T) {
	data, err := NewConfig(testRoutes).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"unknown key":     string(data) + "surprise: true\n",
		"unknown subkey":  strings.Replace(string(data), "  scan_env:", "  scan_everything: true\n  scan_env:", 1),
		"not enforcing":   strings.Replace(string(data), "enforce: true", "enforce: false", 1),
		"not strict":      strings.Replace(string(data), "mode: strict", "mode: audit", 1),
		"second document": string(data) + "---\nversion: 1\n",
		"empty":           "",
	} {
		if _, err := ParseConfig([]byte(text)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestHostRangesOfOneRouteAreNotAnothers(t *testing.T) {
	carrier, private := netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("10.0.0.0/8")
	files, err := Plan{Routes: []egress.Route{
		{Host: "*.example.net", SSRFIPAllowlist: []netip.Prefix{carrier}},
		{Host: "*.inner.example.net", SSRFIPAllowlist: []netip.Prefix{private}},
		{Host: "public.example.net"},
		{Host: "db.example.org", SSRFIPAllowlist: []netip.Prefix{private, carrier}},
	}}.ConfigFiles()
	if err != nil {
		t.Fatal(err)
	}
	ranges, err := ParseHostRanges(files[RangesFile])
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string][]netip.Prefix{
		"a.example.net": {carrier}, "a.b.example.net": {carrier}, "example.net": nil,
		"a.inner.example.net": {private}, "inner.example.net": {carrier},
		"public.example.net": {}, "db.example.org": {private, carrier}, "x.db.example.org": nil, "org": nil, "": nil,
	} {
		if got := ranges.For(host); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", host, got, want)
		}
	}
	for name, text := range map[string]string{"a list": "- a\n", "no range": "a.example.org: [10.0.0.0/8, x]\n"} {
		if _, err := ParseHostRanges([]byte(text)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
