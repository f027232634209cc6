package proxy

import (
	"bytes"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/egress/conformance"
)

var update = flag.Bool("update", false, "write the conformance table into docs/egress.md")

// conformanceBottle has the routes that the table needs.
func conformanceBottle(t *testing.T) (*bottle, *conformance.Agent) {
	plain := httptest.NewServer(http.HandlerFunc(conformance.Upstream))
	t.Cleanup(plain.Close)
	plainPort := portOf(plain)
	b := newBottle(t, http.HandlerFunc(conformance.Upstream), func(main *egress.Route) []egress.Route {
		return []egress.Route{
			{Host: "pass.example.org", Port: main.Port, AuthScheme: egress.SchemeBearer, TokenEnv: "EGRESS_TOKEN_0", TLSPassthrough: true},
			{Host: "plain.example.org", Port: plainPort},
			{Host: "*.wild.example.org", Port: main.Port},
			{Host: "xn--bcher-kva.example.org", Port: main.Port},
			{Host: "paths.example.org", Port: main.Port, PathAllowlist: []string{"/v1/"}},
			{Host: "rules.example.org", Port: main.Port, Matches: []egress.Match{
				{Paths: []egress.PathMatch{{Type: "prefix", Value: "/api"}}, Methods: []string{"GET"}},
				{Paths: []egress.PathMatch{{Type: "exact", Value: "/once"}}, ExpiresAt: time.Now().Add(-time.Second)},
			}},
			{Host: "git.example.org", Port: main.Port, GitFetch: true},
			{Host: "empty.example.org", Port: main.Port, AuthScheme: egress.SchemeBearer, TokenEnv: "EGRESS_TOKEN_9"},
			{Host: "secret.example.org", Port: plainPort, AuthScheme: egress.SchemeBearer, TokenEnv: "EGRESS_TOKEN_0"},
			{Host: "inside.example.org", Port: main.Port},
			{Host: "closed.example.org", Port: 1},
			{Host: "not.covered.example.org", Port: main.Port},
			{Host: "passed.covered.example.org", Port: main.Port, TLSPassthrough: true},
			{Host: "nowhere.invalid", Port: main.Port},
		}
	})
	late := egress.Route{Host: "late.example.org", Port: b.port}
	if err := b.proxy.SetRoutes(append(b.proxy.policy.Load().listed, late), 2); err != nil {
		t.Fatal(err)
	}
	return b, &conformance.Agent{Proxy: b.proxyURL.Host, Trust: b.trust, Domain: "example.org", Port: b.port, PlainPort: plainPort}
}

// TestConformance tries every row: what comes back, that the upstream was reached
// or not, and what stands in the audit file.
func TestConformance(t *testing.T) {
	b, agent := conformanceBottle(t)
	for _, row := range slices.Concat(conformance.Rows(), conformance.FirewallRows()) {
		t.Run(row.What, func(t *testing.T) {
			before := len(b.records())
			if err := row.Try(agent); err != nil {
				t.Error(err)
			}
			checkRecord(t, b, row, before)
		})
	}
}

// checkRecord wants a last record with the row's reason.
func checkRecord(t *testing.T, b *bottle, row conformance.Row, before int) {
	t.Helper()
	reason, recorded := row.Reason()
	deadline := time.Now().Add(2 * time.Minute)
	records := b.records()
	for len(records) == before && recorded && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond) // the record of a tunnel follows the client's error
		records = b.records()
	}
	if len(records) == before {
		if recorded {
			t.Errorf("no record")
		}
		return
	}
	if got := records[len(records)-1]; got.Reason != reason || (got.Verdict == egress.VerdictAllow) != (reason == string(ReasonAllowed)) {
		t.Errorf("recorded %+v, want reason %s", got, reason)
	}
}

func statusOf(res *http.Response) string {
	return fmt.Sprint(res.Status, " ", res.Header.Get(ReasonHeader))
}

// TestConformanceTableInDocs keeps docs/egress.md and the rows the same; run it with
// -update to write the table.
func TestConformanceTableInDocs(t *testing.T) {
	const file, begin, end = "../../../docs/egress.md", "<!-- conformance: begin -->\n", "<!-- conformance: end -->"
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := bytes.Cut(doc, []byte(begin))
	_, tail, ok2 := bytes.Cut(rest, []byte(end))
	if !ok || !ok2 {
		t.Fatalf("%s has no conformance table", file)
	}
	want := bytes.Join([][]byte{head, []byte(begin + conformance.Table() + end), tail}, nil)
	if bytes.Equal(doc, want) {
		return
	}
	if !*update {
		t.Fatalf("the table in %s is not that of the test; run: go test ./internal/egress/proxy -run %s -update", file, t.Name())
	}
	if err := os.WriteFile(file, want, 0o644); err != nil {
		t.Fatal(err)
	}
}
