package supervise

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/gitgate"
	"github.com/podbottle/podbottle/internal/pipelock"
	"github.com/podbottle/podbottle/internal/visible"
)

// FuzzView shows an operator any proposal: nothing in it acts on a terminal, and every
// line of the agent's stands behind a mark.
func FuzzView(f *testing.F) {
	f.Add("a.example.org", "/v1/", "GET", "https://b.example.org:8443/x", "FROM a\nRUN b\n", "REGISTRY_TOKEN", "why")
	f.Add("bücher.example", "/\u202e", "get", "https://a.example.org/\x1b[2J", "FROM a\r\n\x1b]52;c;aGk=\a", "A=B", "because\nBuilds nothing.\x1b[A\u2028x")
	dir := f.TempDir()
	b := Bottle{Slug: "demo", Routes: filepath.Join(dir, "routes"), Firewall: filepath.Join(dir, "firewall"), Containerfile: filepath.Join(dir, "none")}
	routes, err := egress.FormatRoutes([]egress.Route{{Host: "a.example.org", PathAllowlist: []string{"/v0/"}}})
	if err != nil {
		f.Fatal(err)
	}
	firewall, err := pipelock.NewConfig(nil).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	for name, data := range map[string][]byte{b.Routes: routes, b.Firewall: firewall} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, host, path, method, url, file, token, justification string) {
		for _, p := range []Proposal{
			{Tool: ToolEgress, Egress: &EgressRequest{Host: host, PathAllowlist: []string{path}, Methods: []string{method}, Auth: &AuthRequest{Scheme: egress.SchemeBearer, TokenRef: token}}},
			{Tool: ToolEgress, Egress: &EgressRequest{Host: host}},
			{Tool: ToolPipelock, Pipelock: &PipelockRequest{FailedURL: url}},
			{Tool: ToolCapability, Capability: &CapabilityRequest{Containerfile: file}},
		} {
			p.Slug, p.Justification, p.Time = b.Slug, justification, noon
			p, err := NewProposal(p)
			if err != nil {
				continue // refused
			}
			data, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := ParseProposal(data); err != nil || again.ID != p.ID {
				t.Errorf("%s is written and not read: %v", data, err)
			}
			v := b.View(Entry{Proposal: p, Response: &Response{Notes: justification, Time: noon}}, noon, time.Time{})
			shown := append([]string{p.Asks(), ProposalRecord(p).String(), v.Summary, v.Problem}, v.Warnings...)
			for _, text := range append(shown, strings.Split(v.Text(), "\n")...) {
				if !visible.Clean(text) {
					t.Errorf("shown: %q", text)
				}
			}
			_, quotation, _ := strings.Cut(v.Text(), "\nThe agent says:\n")
			quotation, _, _ = strings.Cut(quotation, "\n\n")
			for line := range strings.SplitSeq(strings.TrimSuffix(quotation, "\n"), "\n") {
				if !strings.HasPrefix(line, "  | ") {
					t.Errorf("not marked as the agent's: %q", line)
				}
			}
		}
	})
}

// FuzzRecord shows any line of an audit file, of which an agent chooses parts, and a
// sidecar that it has taken over all: nothing in it acts on a terminal.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"time":"2026-01-02T03:04:05Z","event":"request","verdict":"deny","method":"GET","host":"a\u001b]8;;","path":"/\u202e","detail":"\u009b2J","status":403}`))
	f.Add([]byte(`{"time":"2026-01-02T03:04:05Z","event":"proposal","id":"0123","tool":"\u001b[A","asked":{"x":"\u0007"},"justification":"\u2066","by":{"user":"\u001b"}}`))
	f.Add([]byte(`{"time":"2026-01-02T03:04:05Z","event":"push","repository":"\u001b","updates":[{"ref":"refs/\u202e"}],"findings":[{"reason":"secret","path":"\u0007"}],"detail":"\u009b"}`))
	f.Add([]byte("{\"event\":\"decision\",\"status\":\"\x7f\x1b[2J\",\"granted\":[1e99,\"\xff\"],\"notes\":\"\u2028\"}"))
	f.Fuzz(func(t *testing.T, line []byte) {
		var way egress.Record
		var push gitgate.Record
		var decision Record
		for _, record := range []fmt.Stringer{&way, &push, &decision} {
			if json.Unmarshal(line, record) == nil && !visible.Clean(record.String()) {
				t.Errorf("%q is shown as %q", line, record)
			}
		}
	})
}

// FuzzEffect approves what is asked for on top of any route: what passes then and did
// not before was asked for, all that was asked for passes, and what passed still does.
func FuzzEffect(f *testing.F) {
	f.Add("a.example.org", "/v1/", uint8(0), false, "a.example.org", "/v0", "", "", uint8(1), "a.example.org", "/v1/x", uint8(0))
	f.Add("a.example.org", "", uint8(7), true, "*.example.org", "", "prefix", "/a", uint8(1), "b.example.org", "/v1/x", uint8(2))
	f.Add("a.b.example.org", "/", uint8(1), false, "*.example.org", "", "regex", "/a|/b", uint8(7), "a.b.example.org", "/b", uint8(1))
	f.Add("a.example.org", "/v1", uint8(2), true, "a.example.org", "/x/", "exact", "/x/y", uint8(7), "a.example.org", "/v1x", uint8(2))
	f.Fuzz(func(t *testing.T, host, path string, method uint8, limited bool, route, allowed, kind, match string, only uint8, atHost, atPath string, atMethod uint8) {
		ask := Ask{EgressRequest: EgressRequest{Host: host, PathAllowlist: given(path), Methods: methodOf(method)}}
		before := egress.Route{Host: route, PathAllowlist: given(allowed)}
		if kind != "" {
			before.Matches = []egress.Match{{Paths: []egress.PathMatch{{Type: kind, Value: match}}, Methods: methodOf(only)}}
		}
		table, err := egress.FormatRoutes([]egress.Route{before})
		if err != nil || ask.validate() != nil || validatePath(atPath) != nil {
			return
		}
		var until time.Time
		if limited {
			until = noon.Add(time.Hour)
		}
		change, err := Effect(ask, table, noon, until)
		if err != nil {
			return // refused
		}
		after, err := egress.ParseRoutes(change.After)
		if err != nil {
			t.Fatalf("%s is written and not read: %v", change.After, err)
		}
		q := question{atHost, atPath, Methods[int(atMethod)%len(Methods)]}
		old, now, asked := q.passes([]egress.Route{before}), q.passes(after), q.isAsked(ask)
		if now && !old && !asked || !now && (old || asked) {
			t.Errorf("%+v: passes %v, then %v, and is asked for: %v\nbefore\n%s\nafterwards\n%s", q, old, now, asked, table, change.After)
		}
		if change.Nothing && !old && asked {
			t.Errorf("%+v is said to pass already\n%s", q, table)
		}
	})
}

func given(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// methodOf is none for a number above those of Methods.
func methodOf(n uint8) []string {
	if int(n) >= len(Methods) {
		return nil
	}
	return []string{Methods[n]}
}

// question is a request, which passes or not as docs/egress.md says of routes.
type question struct{ host, path, method string }

func (q question) passes(routes []egress.Route) bool {
	var found *egress.Route
	for _, r := range routes {
		domain, wild := strings.CutPrefix(r.Host, "*")
		switch {
		case r.Host == q.host:
			found = &r
		case wild && strings.HasSuffix(q.host, domain) && (found == nil || found.Host != q.host && len(found.Host) < len(r.Host)):
			found = &r
		}
	}
	if found == nil || len(found.PathAllowlist) > 0 && !slices.ContainsFunc(found.PathAllowlist, func(p string) bool { return strings.HasPrefix(q.path, p) }) {
		return false
	}
	return len(found.Matches) == 0 || slices.ContainsFunc(found.Matches, q.fits)
}

func (q question) fits(m egress.Match) bool {
	path := len(m.Paths) == 0 || slices.ContainsFunc(m.Paths, func(p egress.PathMatch) bool {
		switch p.Type {
		case "exact":
			return q.path == p.Value
		case "prefix":
			return below(q.path, p.Value)
		}
		return regexp.MustCompile(`^(?:` + p.Value + `)$`).MatchString(q.path)
	})
	return path && (len(m.Methods) == 0 || slices.Contains(m.Methods, q.method)) && (m.ExpiresAt.IsZero() || noon.Before(m.ExpiresAt))
}

// below reports whether path is prefix or lies below it, segment by segment.
func below(path, prefix string) bool {
	prefix = strings.TrimSuffix(prefix, "/")
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}

func (q question) isAsked(ask Ask) bool {
	return q.host == ask.Host && (len(ask.Methods) == 0 || slices.Contains(ask.Methods, q.method)) &&
		(len(ask.PathAllowlist) == 0 || below(q.path, ask.PathAllowlist[0]))
}
