package supervise_test

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/podbottle/podbottle/internal/audit"
	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/pipelock"
	"github.com/podbottle/podbottle/internal/secret"
	"github.com/podbottle/podbottle/internal/supervise"
	"github.com/podbottle/podbottle/internal/supervise/supervisetest"
)

var wantNew = map[string]any{"host": "new.example.org", "path_allowlist": []string{"/data/"}, "methods": []string{"GET"}, "justification": "the data set"}

func TestDenialReachesNobody(t *testing.T) {
	l := supervisetest.New(t)
	answer, p := l.Ask("egress-block", wantNew)
	r, err := l.Reject(t.Context(), p, "use the mirror", supervisetest.Operator)
	if err != nil || r.Status != supervise.StatusRejected {
		t.Fatalf("%+v %v", r, err)
	}
	if a := <-answer; a.Err != nil || a.Status != "rejected" || a.Notes != "use the mirror" {
		t.Errorf("the agent is told %+v", a)
	}
	if status, _ := l.Get("new.example.org", "/data/x"); status == 200 || l.Hits.Load() != 0 {
		t.Errorf("denied, but status %d and %d requests at the upstream", status, l.Hits.Load())
	}
	if _, err := l.Approve(t.Context(), p, supervise.Grant{Change: l.PreviewPort(p, time.Time{}), Scope: supervise.ScopeBottle, By: supervisetest.Operator}); !errors.Is(err, supervise.ErrDecided) {
		t.Errorf("approved after the denial: %v", err)
	}
	if status, _ := l.Get("new.example.org", "/data/x"); status == 200 || l.Hits.Load() != 0 {
		t.Errorf("denied, then tried to approve: status %d, %d requests at the upstream", status, l.Hits.Load())
	}
}

func TestApprovalLetsThroughExactlyThat(t *testing.T) {
	l := supervisetest.New(t)
	answer, p := l.Ask("egress-block", wantNew)
	change := l.PreviewPort(p, time.Time{})
	start := time.Now()
	if _, err := l.Approve(t.Context(), p, supervise.Grant{Change: change, Scope: supervise.ScopeBottle, Notes: "only this", By: supervisetest.Operator}); err != nil {
		t.Fatal(err)
	}
	applied := time.Since(start)
	if status, reason := l.Get("new.example.org", "/data/x"); status != 200 {
		t.Fatalf("approved, but %d %s", status, reason)
	}
	t.Logf("approval → routes in force %v, → first answer %v", applied, time.Since(start))
	if a := <-answer; a.Status != "approved" || a.Scope != "bottle" || a.Granted != change.Summary {
		t.Errorf("the agent is told %+v", a)
	}
	for _, other := range [][2]string{{"new.example.org", "/datax"}, {"new.example.org", "/other"}, {"newer.example.org", "/data/x"}, {"known.example.org", "/v2/"}} {
		if status, reason := l.Get(other[0], other[1]); status == 200 || l.Hits.Load() != 1 {
			t.Errorf("%v: %d %s, %d requests at the upstream", other, status, reason, l.Hits.Load())
		}
	}
	if status, _ := l.Get("known.example.org", "/v1/x"); status != 200 {
		t.Errorf("what was permitted before gives %d", status)
	}
	records := l.Records()
	if len(records) != 1 || records[0].Status != supervise.StatusApproved || records[0].By.User != "dev" || !strings.Contains(records[0].Diff, "+  - host: new.example.org") ||
		records[0].Before != egress.Fingerprint(change.Before) || records[0].After != egress.Fingerprint(change.After) {
		t.Errorf("records %+v", records)
	}
	file, err := os.Open(l.Audit)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if n, err := audit.Verify(file); n != 1 || err != nil {
		t.Errorf("chain of %d lines: %v", n, err)
	}
}

func TestApprovedCredential(t *testing.T) {
	l := supervisetest.New(t)
	args := map[string]any{"host": "new.example.org", "justification": "private data", "auth": map[string]any{"scheme": "Bearer", "token_ref": "SOMEBODYS_TOKEN"}}
	answer, p := l.Ask("egress-block", args)
	grant := supervise.Grant{Change: l.PreviewPort(p, time.Time{}), Scope: supervise.ScopeBottle, TokenRef: "MY_TOKEN", By: supervisetest.Operator}
	before := l.Files()
	if _, err := l.Approve(t.Context(), p, grant); err == nil || !strings.Contains(err.Error(), "no value") {
		t.Errorf("approved without the credential's value: %v", err)
	}
	l.Untouched(before)
	grant.Token = secret.New("tok-for-the-upstream-only")
	if _, err := l.Approve(t.Context(), p, grant); err != nil {
		t.Fatal(err)
	}
	if a := <-answer; a.Status != "approved" {
		t.Errorf("the agent is told %+v", a)
	}
	if status, reason := l.Get("new.example.org", "/x"); status != 200 || l.LastAuth.Load() != "Bearer tok-for-the-upstream-only" {
		t.Errorf("%d %s, the upstream saw Authorization %q", status, reason, l.LastAuth.Load())
	}
	if text := l.Read(l.Audit); strings.Contains(text, "tok-for-the-upstream-only") || !strings.Contains(text, "MY_TOKEN") {
		t.Errorf("audit file: %s", text)
	}
}

func TestApprovalEnds(t *testing.T) {
	l := supervisetest.New(t)
	answer, p := l.Ask("egress-block", map[string]any{"host": "known.example.org", "path_allowlist": []string{"/v2/"}, "justification": "the new version"})
	until := time.Now().Add(10 * time.Second) // much longer than the next two steps take
	if _, err := l.Approve(t.Context(), p, supervise.Grant{Change: l.PreviewPort(p, until), Scope: supervise.ScopeOnce, Until: until, By: supervisetest.Operator}); err != nil {
		t.Fatal(err)
	}
	<-answer
	if status, reason := l.Get("known.example.org", "/v2/x"); status != 200 {
		t.Fatalf("approved, but %d %s", status, reason)
	}
	time.Sleep(time.Until(until) + 10*time.Millisecond)
	hits := l.Hits.Load()
	if status, reason := l.Get("known.example.org", "/v2/x"); status != 403 || reason != "expired" || l.Hits.Load() != hits {
		t.Errorf("after the end: %d %s, %d requests at the upstream", status, reason, l.Hits.Load()-hits)
	}
	if status, _ := l.Get("known.example.org", "/v1/x"); status != 200 {
		t.Errorf("the route's own path gives %d afterwards", status)
	}
}

func TestModifiedApproval(t *testing.T) {
	l := supervisetest.New(t)
	answer, p := l.Ask("pipelock-block", map[string]any{"failed_url": "https://new.example.org/a/b?c=d", "justification": "a file"})
	ask, err := p.Ask()
	if err != nil || ask.Host != "new.example.org" || ask.PathAllowlist[0] != "/a/b" {
		t.Fatalf("%+v %v", ask, err)
	}
	text, err := ask.YAML()
	if err != nil {
		t.Fatal(err)
	}
	edited := strings.Replace(string(text), "- /a/b", "- /a/b/c", 1) + "methods: [GET]\nport: " + strconv.Itoa(l.Port) + "\n"
	if ask, err = supervise.ParseAsk([]byte(edited)); err != nil {
		t.Fatalf("%v in %s", err, edited)
	}
	change, err := l.Preview(ask, time.Now(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Approve(t.Context(), p, supervise.Grant{Change: change, Modified: true, Scope: supervise.ScopeBottle, By: supervisetest.Operator}); err != nil {
		t.Fatal(err)
	}
	if a := <-answer; a.Status != "modified" || !strings.Contains(a.Granted, "/a/b/c") {
		t.Errorf("the agent is told %+v", a)
	}
	if status, _ := l.Get("new.example.org", "/a/b"); status == 200 {
		t.Error("what the operator took out is let through")
	}
	if status, reason := l.Get("new.example.org", "/a/b/c"); status != 200 {
		t.Errorf("what he left gives %d %s", status, reason)
	}
}

func TestFailedApprovalChangesNothing(t *testing.T) {
	for _, test := range []struct {
		name     string
		sabotage func(*supervisetest.Live, *supervise.Grant)
		want     string
	}{
		{"egress is dead", func(l *supervisetest.Live, _ *supervise.Grant) { l.StopEgress() }, "did not take"},
		{"the firewall does not come back", func(l *supervisetest.Live, _ *supervise.Grant) {
			l.ReloadFirewall = func(context.Context) error { return errors.New("it is gone") }
		}, "it is gone"},
		{"the routes were changed meanwhile", func(l *supervisetest.Live, _ *supervise.Grant) {
			l.Write("egress/config/routes.yaml", []byte("version: 1\nroutes: []\n"))
		}, "look at it again"},
		{"the bottle has stopped", func(l *supervisetest.Live, _ *supervise.Grant) { l.Must(os.Remove(l.Routes)) }, "not running"},
		{"the audit file is broken", func(l *supervisetest.Live, _ *supervise.Grant) { l.Write("state/audit.jsonl", []byte("{}\n")) }, "audit"},
		{"the manifest was changed meanwhile", func(l *supervisetest.Live, g *supervise.Grant) {
			l.Write("web.md", []byte("---\nsupervise: true\n---\n"))
			var err error
			g.Scope = supervise.ScopeManifest
			g.Manifest, err = supervise.ManifestFile{Path: l.Path("web.md"), Check: func() error { return nil }}.Preview(g.Change.Ask, "")
			l.Must(err)
			l.Write("web.md", []byte("---\nsupervise: false\n---\n"))
		}, "look at it again"},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := supervisetest.New(t)
			answer, p := l.Ask("egress-block", wantNew)
			grant := supervise.Grant{Change: l.PreviewPort(p, time.Time{}), Scope: supervise.ScopeBottle, By: supervisetest.Operator}
			before := l.Files()
			test.sabotage(l, &grant)
			if data, err := os.ReadFile(l.Routes); err == nil {
				before[l.Routes] = string(data)
			} else {
				delete(before, l.Routes)
			}
			if _, err := l.Approve(t.Context(), p, grant); err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "still pending") {
				t.Errorf("error %v, want %q and that it is pending", err, test.want)
			}
			l.Untouched(before)
			select {
			case a := <-answer:
				t.Errorf("the agent got an answer: %+v", a)
			default:
			}
			l.Must(os.RemoveAll(l.Audit))
			if _, err := l.Reject(t.Context(), p, "end of test", supervisetest.Operator); err != nil {
				t.Error(err)
			}
			<-answer
		})
	}
}

func TestManifestApproval(t *testing.T) {
	l := supervisetest.New(t)
	l.Write("web.md", []byte("---\n# mine\nsupervise: true\n---\n"))
	answer, p := l.Ask("egress-block", wantNew)
	grant := supervise.Grant{Change: l.PreviewPort(p, time.Time{}), Scope: supervise.ScopeManifest, By: supervisetest.Operator}
	var err error
	if grant.Manifest, err = (supervise.ManifestFile{Path: l.Path("web.md"), Check: func() error { return nil }}).Preview(grant.Change.Ask, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Approve(t.Context(), p, grant); err != nil {
		t.Fatal(err)
	}
	if a := <-answer; a.Status != "approved" || a.Scope != "manifest" {
		t.Errorf("the agent is told %+v", a)
	}
	if text := l.Read(l.Path("web.md")); !strings.Contains(text, "# mine") || !strings.Contains(text, "- host: new.example.org:"+strconv.Itoa(l.Port)) {
		t.Errorf("manifest: %s", text)
	}
}

// TestApprovalOfTheFirewallAlone approves what the routes permit and the firewall does not.
func TestApprovalOfTheFirewallAlone(t *testing.T) {
	l := supervisetest.New(t)
	config, err := pipelock.ParseConfig([]byte(l.Read(l.Firewall)))
	l.Must(err)
	config.APIAllowlist = []string{"other.example.org"}
	narrow, err := config.Marshal()
	l.Must(err)
	l.Write("pipelock/config/pipelock.yaml", narrow)
	l.Must(l.ReloadFirewall(t.Context()))
	if status, reason := l.Get("known.example.org", "/v1/x"); status != 403 || reason != "firewall-host" {
		t.Fatalf("%d %s", status, reason)
	}
	answer, p := l.Ask("pipelock-block", map[string]any{"failed_url": "https://known.example.org/v1/x", "justification": "it worked before"})
	ask, err := p.Ask()
	l.Must(err)
	if _, err := l.Grant(ask, supervise.ScopeOnce, 0, "", time.Now()); err == nil || !strings.Contains(err.Error(), "no end") {
		t.Errorf("for a time, which nobody would end: %v", err)
	}
	grant, err := l.Grant(ask, supervise.ScopeBottle, 0, "", time.Now())
	l.Must(err)
	if !strings.Contains(grant.Change.Summary, "Opens the firewall for known.example.org") || !strings.Contains(grant.Change.Diff, "+  - known.example.org") {
		t.Errorf("shown: %s\n%s", grant.Change.Summary, grant.Change.Diff)
	}
	routes := l.Read(l.Routes)
	if _, err := l.Approve(t.Context(), p, grant); err != nil {
		t.Fatal(err)
	}
	if a := <-answer; a.Status != "approved" {
		t.Errorf("the agent is told %+v", a)
	}
	if status, reason := l.Get("known.example.org", "/v1/x"); status != 200 {
		t.Errorf("approved, but %d %s", status, reason)
	}
	if l.Read(l.Routes) != routes {
		t.Error("the routes were changed")
	}
	if change := l.PreviewPort(p, time.Time{}); !change.Nothing || !strings.Contains(strings.Join(change.Warnings, " "), "another reason") {
		t.Errorf("the same again: %+v", change)
	}
}

func TestGrantLimits(t *testing.T) {
	l := supervisetest.New(t)
	answer, p := l.Ask("egress-block", wantNew)
	change := l.PreviewPort(p, time.Time{})
	soon := time.Now().Add(time.Minute)
	for name, g := range map[string]supervise.Grant{
		"once without an end":  {Scope: supervise.ScopeOnce},
		"manifest with an end": {Scope: supervise.ScopeManifest, Until: soon},
		"no scope":             {Until: soon},
		"in the past":          {Scope: supervise.ScopeOnce, Until: time.Now().Add(-time.Second)},
	} {
		g.Change, g.By = change, supervisetest.Operator
		if _, err := l.Approve(t.Context(), p, g); err == nil {
			t.Errorf("%s: approved", name)
		}
	}
	if _, err := l.Reject(t.Context(), p, "", supervisetest.Operator); err != nil {
		t.Error(err)
	}
	<-answer
}

func TestApproveRebuild(t *testing.T) {
	l := supervisetest.New(t)
	l.Write("state/Dockerfile", []byte("FROM base\n"))
	answer, p := l.Ask("capability-block", map[string]any{"containerfile": "FROM base\nRUN apt-get install -y jq\n", "justification": "jq is missing"})
	var steps []string
	l.Rebuild = supervise.Rebuild{
		Build:    func(context.Context, []byte) error { return errors.New("no such package") },
		Write:    func(context.Context, []byte) error { steps = append(steps, "write"); return errors.New("no space") },
		Withdraw: func(context.Context) error { steps = append(steps, "withdraw"); return nil },
		TakeDown: func(context.Context) error { steps = append(steps, "down"); return nil },
		Follows:  "It goes on elsewhere.",
	}
	current, err := l.CurrentContainerfile()
	if err != nil {
		t.Fatal(err)
	}
	if d := supervise.ContainerfileDiff(current, []byte(p.Capability.Containerfile)); !strings.Contains(d, "+RUN apt-get install -y jq") {
		t.Errorf("diff %s", d)
	}
	if _, err := l.ApproveRebuild(t.Context(), p, supervise.RebuildGrant{Current: current, File: []byte(p.Capability.Containerfile), By: supervisetest.Operator}); err == nil || !strings.Contains(err.Error(), "no such package; the proposal is still pending") || len(steps) != 0 {
		t.Errorf("an image that cannot be built: %v, steps %q", err, steps)
	}
	l.Rebuild.Build = func(context.Context, []byte) error { return nil }
	if _, err := l.ApproveRebuild(t.Context(), p, supervise.RebuildGrant{Current: current, File: []byte(p.Capability.Containerfile), By: supervisetest.Operator}); err == nil || !strings.Contains(err.Error(), "still pending") || len(steps) != 1 {
		t.Errorf("a disk that is full: %v, steps %q", err, steps)
	}
	if _, err := l.ApproveRebuild(t.Context(), p, supervise.RebuildGrant{Current: []byte("FROM other\n"), File: []byte(p.Capability.Containerfile), By: supervisetest.Operator}); err == nil || !strings.Contains(err.Error(), "look at it again") {
		t.Errorf("another file than was shown: %v", err)
	}
	steps = nil
	l.Rebuild.Write = func(_ context.Context, file []byte) error { steps = append(steps, string(file)); return nil }
	mine := strings.Replace(p.Capability.Containerfile, " jq", " jq=1.7", 1)
	if _, err := l.ApproveRebuild(t.Context(), p, supervise.RebuildGrant{Current: current, File: []byte(mine), By: supervisetest.Operator}); err != nil {
		t.Fatal(err)
	}
	if len(steps) != 2 || steps[0] != mine || steps[1] != "down" {
		t.Errorf("steps %q", steps)
	}
	if a := <-answer; a.Status != "modified" || !strings.HasSuffix(a.Granted, "own. It goes on elsewhere.") {
		t.Errorf("the agent is told %+v", a)
	}
}

// BenchmarkApproval measures from the operator's decision to the table in force.
func BenchmarkApproval(b *testing.B) {
	l := supervisetest.New(b)
	for b.Loop() {
		b.StopTimer()
		answer, p := l.Ask("egress-block", wantNew)
		until := time.Now().Add(time.Hour)
		change := l.PreviewPort(p, until)
		b.StartTimer()
		if _, err := l.Approve(b.Context(), p, supervise.Grant{Change: change, Scope: supervise.ScopeOnce, Until: until, By: supervisetest.Operator}); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		<-answer
		b.StartTimer()
	}
}
