package proxy

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/podbottle/podbottle/internal/egress"
)

// TestMetrics scrapes a running egress: what was counted, and that no host, path or
// other text that the agent chooses is a label.
func TestMetrics(t *testing.T) {
	s := newSidecars(t, []egress.Route{{Host: "a.example.org", PathAllowlist: []string{"/v1/"}}})
	s.start()
	for _, target := range []string{"http://_egress.local/allowlist", "http://b.example.org/", "http://c.example.org/", "http://a.example.org/v2"} {
		_ = s.ask("GET", target).Body.Close()
	}
	s.write("egress/config/"+egress.RoutesFile, []byte("nonsense: true\n"))
	s.await("the bad table's refusal", func() bool { return s.status().Error != "" })

	want := []string{
		`podbottle_egress_body_bytes_total{direction="received"} 0`,
		`podbottle_egress_body_bytes_total{direction="sent"} 0`,
		`podbottle_egress_inflight_requests 0`,
		`podbottle_egress_requests_total{reason="allowed",verdict="allow"} 1`,
		`podbottle_egress_requests_total{reason="host-not-allowed",verdict="deny"} 2`,
		`podbottle_egress_requests_total{reason="path-not-allowed",verdict="deny"} 1`,
		`podbottle_egress_route_loads_total{outcome="loaded"} 1`,
		`podbottle_egress_route_loads_total{outcome="refused"} 1`,
		`podbottle_egress_routes_generation 1`,
	}
	var got []string
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("scraped:\n%s", strings.Join(got, "\n"))
		}
	})
	s.await("the last request's record", func() bool {
		got = scrape(t, "http://"+s.metrics+"/")
		return slices.Equal(got, want)
	})
	if err := s.stop(); err != nil {
		t.Error(err)
	}
}

// scrape returns the samples of an exposition, sorted and without comments.
func scrape(t *testing.T, url string) []string {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v", res.Status, err)
	}
	var samples []string
	for line := range strings.Lines(string(body)) {
		if !strings.HasPrefix(line, "#") {
			samples = append(samples, strings.TrimSpace(line))
		}
	}
	slices.Sort(samples)
	return samples
}
