package pipelock

import (
	"net/netip"
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
