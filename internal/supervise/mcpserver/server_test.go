package mcpserver

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/podbottle/podbottle/internal/audit"
	"github.com/podbottle/podbottle/internal/supervise"
)

const routesYAML = `version: 1
routes:
  - host: api.example.org
    path_allowlist: [/v1/]
    auth_scheme: Bearer
    token_env: EGRESS_TOKEN_0
`

// bottle is one running server with its queue.
type bottle struct {
	t      *testing.T
	queue  *supervise.Queue
	config Config
	url    string
	stop   func()
	done   chan error
}

// newQueue makes a queue as podbottle makes it, with its audit file.
func newQueue(t testing.TB, dir string) (*supervise.Queue, *audit.Writer) {
	t.Helper()
	if err := supervise.CreateQueue(dir); err != nil {
		t.Fatal(err)
	}
	queue, err := supervise.OpenQueue(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { queue.Close() })
	records, err := audit.Open(filepath.Join(dir, supervise.AuditFile))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { records.Close() })
	return queue, records
}

// start runs a server on loopback.
func start(t *testing.T, change func(*Config)) *bottle {
	t.Helper()
	dir := t.TempDir()
	queue, records := newQueue(t, filepath.Join(dir, "queue", "demo-abc12"))
	routes := filepath.Join(dir, "routes.yaml")
	if err := os.WriteFile(routes, []byte(routesYAML), 0o644); err != nil {
		t.Fatal(err)
	}
	b := &bottle{t: t, queue: queue, config: Config{
		Slug: "demo-abc12", Version: "test", OnApproval: supervise.OnApproval(time.Hour), RoutesFile: routes,
		Limits: DefaultLimits, Audit: records, Log: slog.New(slog.DiscardHandler),
	}}
	if change != nil {
		change(&b.config)
	}
	b.run()
	t.Cleanup(func() { b.stop() })
	return b
}

// run starts the server, again after a stop.
func (b *bottle) run() {
	b.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.url = "http://" + listener.Addr().String() + "/"
	b.done = make(chan error, 1)
	go func() { b.done <- New(b.config, b.queue).Serve(ctx, listener) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-b.done; err != nil {
			b.t.Errorf("serve: %v", err)
		}
	})
}

// client connects with the official SDK's client.
func (b *bottle) client(progress func(string)) *mcp.ClientSession {
	b.t.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "agent", Version: "1"}, &mcp.ClientOptions{
		ProgressNotificationHandler: func(_ context.Context, r *mcp.ProgressNotificationClientRequest) {
			if progress != nil {
				progress(r.Params.Message)
			}
		},
	})
	session, err := client.Connect(b.t.Context(), &mcp.StreamableClientTransport{Endpoint: b.url, DisableStandaloneSSE: true}, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { session.Close() })
	return session
}

// call calls a tool and decodes its result; text is the error of a refused call.
func call[T any](ctx context.Context, session *mcp.ClientSession, tool string, args any) (out T, text string, err error) {
	params := &mcp.CallToolParams{Name: tool, Arguments: args}
	params.SetProgressToken("progress")
	result, err := session.CallTool(ctx, params)
	if err != nil {
		return out, "", err
	}
	var all strings.Builder
	for _, content := range result.Content {
		all.WriteString(content.(*mcp.TextContent).Text)
	}
	if result.IsError {
		return out, all.String(), nil
	}
	return out, "", json.Unmarshal([]byte(all.String()), &out)
}

// eventually waits until something is so, for much longer than it takes.
func (b *bottle) eventually(what string, so func() bool) {
	b.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if so() {
			return
		}
	}
	b.t.Fatalf("it did not come about that %s", what)
}

// pending waits until n proposals wait.
func (b *bottle) pending(n int) []supervise.Proposal {
	b.t.Helper()
	var pending []supervise.Proposal
	b.eventually(fmt.Sprintf("%d proposals wait", n), func() bool {
		var damaged []error
		if pending, damaged = b.queue.Pending(); len(damaged) > 0 {
			b.t.Fatal(damaged)
		}
		return len(pending) == n
	})
	return pending
}

// records are the statuses in the sidecar's audit file, in order; a proposal's is asked.
func (b *bottle) records() []string {
	b.t.Helper()
	file, err := audit.OpenFile(filepath.Join(b.queue.Dir(), supervise.AuditFile))
	if err != nil {
		b.t.Fatal(err)
	}
	defer file.Close()
	var statuses []string
	for line, err := range audit.Lines(file) {
		var r supervise.Record
		if err = errors.Join(err, json.Unmarshal(line, &r)); err != nil {
			b.t.Fatal(err)
		}
		if r.Justification != wanted["justification"] || r.Slug != "demo-abc12" {
			b.t.Errorf("record %+v", r)
		}
		statuses = append(statuses, cmp.Or(string(r.Status), "asked"))
	}
	return statuses
}

func (b *bottle) respond(r supervise.Response) {
	b.t.Helper()
	unlock, err := b.queue.Lock(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	defer unlock()
	r.Time = time.Now().UTC()
	if err := b.queue.Respond(r); err != nil {
		b.t.Fatal(err)
	}
}

var wanted = map[string]any{
	"host": "Registry.Example.ORG.", "path_allowlist": []string{"/simple/"}, "methods": []string{"get"},
	"auth": map[string]any{"scheme": "Bearer", "token_ref": "REGISTRY_TOKEN"}, "justification": "download the dependencies",
}

func TestApproveWhileWaiting(t *testing.T) {
	b := start(t, nil)
	var mu sync.Mutex
	var messages []string
	session := b.client(func(m string) { mu.Lock(); defer mu.Unlock(); messages = append(messages, m) })
	type result struct {
		answer answer
		text   string
		err    error
	}
	results := make(chan result, 1)
	go func() {
		a, text, err := call[answer](t.Context(), session, "egress-block", wanted)
		results <- result{a, text, err}
	}()
	p := b.pending(1)[0]
	if p.Tool != supervise.ToolEgress || p.Slug != "demo-abc12" || p.Egress.Host != "registry.example.org" ||
		p.Egress.Methods[0] != "GET" || p.Egress.Auth.TokenRef != "REGISTRY_TOKEN" || len(p.Base) != 64 {
		t.Errorf("proposal %+v %+v", p, p.Egress)
	}
	// The client hears that the call waits before the operator decides.
	b.eventually("the client hears that the call waits", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(messages) > 0
	})
	expires := time.Now().Add(time.Hour).UTC().Round(time.Second)
	b.respond(supervise.Response{ID: p.ID, Status: supervise.StatusModified, Notes: "only reading", Granted: "GET on registry.example.org", Scope: supervise.ScopeOnce, ExpiresAt: expires})
	r := <-results
	if r.err != nil || r.text != "" || r.answer.Status != supervise.StatusModified || r.answer.ID != p.ID || r.answer.Notes != "only reading" ||
		r.answer.ExpiresAt == nil || !r.answer.ExpiresAt.Equal(expires) {
		t.Errorf("answer %+v %q %v", r.answer, r.text, r.err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(messages) == 0 || !strings.Contains(messages[0], p.ID) {
		t.Errorf("progress messages %q do not name the proposal", messages)
	}
	if entries, _ := b.queue.Decided(10); len(entries) != 1 || entries[0].Proposal.ID != p.ID {
		t.Errorf("archive holds %+v", entries)
	}
	if left, _ := filepath.Glob(filepath.Join(b.queue.Dir(), "*.json")); len(left) != 0 {
		t.Errorf("the queue still holds %v", left)
	}
}

func TestDeny(t *testing.T) {
	b := start(t, nil)
	session := b.client(nil)
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		a, text, err := call[answer](t.Context(), session, "pipelock-block", map[string]any{"failed_url": "https://files.example.org/a/b?c=d", "justification": "a file is there"})
		if err != nil || text != "" || a.Status != supervise.StatusRejected || a.Notes != "not this host" {
			t.Errorf("answer %+v %q %v", a, text, err)
		}
	}()
	b.respond(supervise.Response{ID: b.pending(1)[0].ID, Status: supervise.StatusRejected, Notes: "not this host"})
	<-answered
}

func TestUnattendedDeniesAtOnce(t *testing.T) {
	b := start(t, func(c *Config) { c.OnApproval = 0 })
	a, text, err := call[answer](t.Context(), b.client(nil), "egress-block", wanted)
	if err != nil || text != "" || a.Status != supervise.StatusRejected || !strings.Contains(a.Notes, "unattended") {
		t.Errorf("answer %+v %q %v", a, text, err)
	}
	if entries, _ := b.queue.Decided(10); len(entries) != 1 {
		t.Errorf("the denied proposal is not in the queue's archive: %v", entries)
	}
	if got := b.records(); !slices.Equal(got, []string{"asked", "rejected"}) {
		t.Errorf("on record: %v", got)
	}
}

// An agent without an operator does not fill the disk with what it is denied.
func TestUnattendedKeepsTheNewest(t *testing.T) {
	b := start(t, func(c *Config) { c.OnApproval, c.Limits.Archived = 0, 3 })
	session := b.client(nil)
	for i := range 6 {
		a, text, err := call[answer](t.Context(), session, "pipelock-block", map[string]any{"failed_url": fmt.Sprintf("https://h%d.example.org/", i), "justification": "why"})
		if err != nil || text != "" || a.Status != supervise.StatusRejected {
			t.Fatalf("answer %+v %q %v", a, text, err)
		}
		time.Sleep(10 * time.Millisecond) // which is newer is told by the times of files
	}
	if entries, damaged := b.queue.Decided(10); len(entries) != 3 || len(damaged) > 0 || entries[0].Proposal.Pipelock.FailedURL != "https://h5.example.org/" {
		t.Errorf("the archive holds %d proposals: %+v, %v", len(entries), entries, damaged)
	}
}

func TestNobodyAnswers(t *testing.T) {
	b := start(t, func(c *Config) { c.OnApproval = supervise.OnApproval(time.Second) })
	a, text, err := call[answer](t.Context(), b.client(nil), "egress-block", wanted)
	if err != nil || text != "" || a.Status != supervise.StatusExpired {
		t.Fatalf("answer %+v %q %v", a, text, err)
	}
	unlock, err := b.queue.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if err := b.queue.Respond(supervise.Response{ID: a.ID, Status: supervise.StatusApproved, Time: time.Now()}); err == nil {
		t.Error("an expired proposal could be approved afterwards")
	}
	if got := b.records(); !slices.Equal(got, []string{"asked", "expired"}) {
		t.Errorf("on record: %v", got)
	}
}

func TestAskAgainAfterRestart(t *testing.T) {
	b := start(t, nil)
	session := b.client(nil)
	results := make(chan answer, 1)
	go func() {
		a, _, _ := call[answer](t.Context(), session, "egress-block", wanted)
		results <- a
	}()
	p := b.pending(1)[0]
	b.stop()
	if a := <-results; a.Status != "" && a.Status != supervise.StatusPending {
		t.Errorf("the cut call says %+v", a)
	}
	b.respond(supervise.Response{ID: p.ID, Status: supervise.StatusApproved, Scope: supervise.ScopeBottle})
	b.run()
	session = b.client(nil)
	got, text, err := call[statuses](t.Context(), session, "proposal-status", map[string]any{"id": p.ID})
	if err != nil || text != "" || len(got.Proposals) != 1 || got.Proposals[0].Status != supervise.StatusApproved {
		t.Errorf("status %+v %q %v", got, text, err)
	}
	all, _, err := call[statuses](t.Context(), session, "proposal-status", map[string]any{})
	if err != nil || len(all.Proposals) != 1 || all.Proposals[0].ID != p.ID {
		t.Errorf("all %+v %v", all, err)
	}
	_, text, err = call[statuses](t.Context(), session, "proposal-status", map[string]any{"id": "../../etc/passwd"})
	if err != nil || !strings.Contains(text, "no such proposal") {
		t.Errorf("a path as ID: %q %v", text, err)
	}
}

// TestSameSessionAfterRestart shows that the agent's connection survives the sidecar.
func TestSameSessionAfterRestart(t *testing.T) {
	b := start(t, nil)
	session := b.client(nil)
	address := strings.TrimSuffix(strings.TrimPrefix(b.url, "http://"), "/")
	b.stop()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- New(b.config, b.queue).Serve(ctx, listener) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	_, text, err := call[statuses](t.Context(), session, "proposal-status", nil)
	if err != nil { // net/http may pick a kept connection before it has seen it close
		_, text, err = call[statuses](t.Context(), session, "proposal-status", nil)
	}
	if err != nil || text != "" {
		t.Errorf("call over the old session: %q %v", text, err)
	}
}

func TestCallerHangsUp(t *testing.T) {
	b := start(t, func(c *Config) { c.Limits.Calls = 1 })
	session := b.client(nil)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _, _ = call[answer](ctx, session, "egress-block", wanted)
	}()
	p := b.pending(1)[0]
	if _, text, err := call[statuses](t.Context(), session, "proposal-status", nil); err != nil || !strings.Contains(text, "too many calls") {
		t.Errorf("a second call beside the only place: %q %v", text, err)
	}
	cancel()
	<-ended
	b.eventually("the place of a call whose client hung up is given back", func() bool {
		got, text, err := call[statuses](t.Context(), session, "proposal-status", map[string]any{"id": p.ID})
		if err != nil || text != "" {
			return false
		}
		if got.Proposals[0].Status != supervise.StatusPending {
			t.Errorf("status %+v", got)
		}
		return true
	})
}

func TestSameRequestJoins(t *testing.T) {
	b := start(t, nil)
	var wg, waiting sync.WaitGroup
	for i := range 3 {
		waiting.Add(1)
		waits := sync.OnceFunc(waiting.Done) // a call that waits says so every few seconds
		session := b.client(func(string) { waits() })
		wg.Go(func() {
			defer waits() // also where it is refused
			args := map[string]any{"host": "one.example.org", "justification": fmt.Sprintf("reason %d", i)}
			if a, text, err := call[answer](t.Context(), session, "egress-block", args); err != nil || text != "" || a.Status != supervise.StatusApproved {
				t.Errorf("answer %+v %q %v", a, text, err)
			}
		})
	}
	waiting.Wait()
	p := b.pending(1)[0]
	b.respond(supervise.Response{ID: p.ID, Status: supervise.StatusApproved, Scope: supervise.ScopeBottle})
	wg.Wait()
	if entries, _ := b.queue.Decided(10); len(entries) != 1 {
		t.Errorf("%d proposals for one request", len(entries))
	}
}

func TestFlood(t *testing.T) {
	b := start(t, nil)
	sessions := make([]*mcp.ClientSession, 8)
	for i := range sessions {
		sessions[i] = b.client(nil)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	refused := map[string]int{}
	places := make(chan struct{}, 48)
	ctx, cancel := context.WithCancel(t.Context())
	for i := range 1000 {
		places <- struct{}{}
		wg.Go(func() {
			args := map[string]any{"host": fmt.Sprintf("h%d.example.org", i), "justification": "flood"}
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, text, err := call[answer](ctx, sessions[i%len(sessions)], "egress-block", args)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err != nil:
					refused["cut"]++
				case strings.Contains(text, "wait already"):
					refused["pending"]++
				case strings.Contains(text, "too many"):
					refused["fast"]++
				default:
					t.Errorf("call %d: %q", i, text)
				}
			}()
			select {
			case <-done:
				<-places
			case <-time.After(time.Second): // it waits for the operator
				<-places
				<-done
			}
		})
	}
	b.pending(DefaultLimits.Pending)
	b.eventually(fmt.Sprintf("%d of 1000 calls are refused", 1000-DefaultLimits.Pending), func() bool {
		mu.Lock()
		defer mu.Unlock()
		return refused["pending"]+refused["fast"] == 1000-DefaultLimits.Pending
	})
	mu.Lock()
	t.Logf("refused at once: %v", refused)
	mu.Unlock()
	cancel()
	wg.Wait()
	b.pending(DefaultLimits.Pending)
}

// TestNothingOffTheRecord fills the disk, as it were, under the audit file.
func TestNothingOffTheRecord(t *testing.T) {
	for name, wait := range map[string]time.Duration{"attended": time.Hour, "unattended": 0} {
		t.Run(name, func(t *testing.T) {
			b := start(t, func(c *Config) {
				c.OnApproval = supervise.OnApproval(wait)
				if err := c.Audit.Close(); err != nil {
					t.Fatal(err)
				}
			})
			_, text, err := call[answer](t.Context(), b.client(nil), "egress-block", wanted)
			if err != nil || !strings.Contains(text, "could not be written down") {
				t.Errorf("%q %v", text, err)
			}
			if pending, _ := b.queue.Pending(); len(pending) != 0 {
				t.Errorf("it waits all the same: %v", pending)
			}
		})
	}
}

func TestListRoutes(t *testing.T) {
	b := start(t, nil)
	got, text, err := call[routeList](t.Context(), b.client(nil), "list-egress-routes", nil)
	if err != nil || text != "" || len(got.Routes) != 1 || got.Routes[0].Host != "api.example.org" || got.Routes[0].Auth.Scheme != "Bearer" {
		t.Errorf("routes %+v %q %v", got, text, err)
	}
	data, _ := json.Marshal(got)
	if strings.Contains(string(data), "EGRESS_TOKEN") {
		t.Errorf("the slot's name leaks: %s", data)
	}
}

func TestRefusedArguments(t *testing.T) {
	b := start(t, nil)
	session := b.client(nil)
	why := "because of a test"
	long := strings.Repeat("x", 3000)
	for _, test := range []struct {
		tool string
		args map[string]any
		want string
	}{
		{"egress-block", map[string]any{"host": "a.example.org"}, "justification"},
		{"egress-block", map[string]any{"host": "a.example.org", "justification": " \u200b "}, "justification"},
		{"egress-block", map[string]any{"host": "a.example.org", "justification": long}, "justification"},
		{"egress-block", map[string]any{"host": "a.example.org", "justification": why, "extra": 1}, "extra"},
		{"egress-block", map[string]any{"host": "*.example.org", "justification": why}, "host"},
		{"egress-block", map[string]any{"host": "203.0.113.9", "justification": why}, "host"},
		{"egress-block", map[string]any{"host": "0x7f.1", "justification": why}, "host"},
		{"egress-block", map[string]any{"host": "a.example.org:22", "justification": why}, "host"},
		{"egress-block", map[string]any{"host": "a..example.org", "justification": why}, "host"},
		{"egress-block", map[string]any{"host": "a.example.org\x00.b", "justification": why}, "host"},
		{"egress-block", map[string]any{"host": "localhost", "justification": why}, "host"},
		{"egress-block", map[string]any{"host": "_egress.local", "justification": why}, "host"},
		{"egress-block", map[string]any{"host": "a.example.org", "path_allowlist": []string{"v1"}, "justification": why}, "slash"},
		{"egress-block", map[string]any{"host": "a.example.org", "path_allowlist": []string{"/a/../b"}, "justification": why}, "dot segment"},
		{"egress-block", map[string]any{"host": "a.example.org", "path_allowlist": []string{"/a%2fb"}, "justification": why}, "decoded"},
		{"egress-block", map[string]any{"host": "a.example.org", "path_allowlist": []string{"/a?b"}, "justification": why}, "query"},
		{"egress-block", map[string]any{"host": "a.example.org", "methods": []string{"CONNECT"}, "justification": why}, "methods"},
		{"egress-block", map[string]any{"host": "a.example.org", "auth": map[string]any{"scheme": "Digest", "token_ref": "A"}, "justification": why}, "scheme"},
		{"egress-block", map[string]any{"host": "a.example.org", "auth": map[string]any{"scheme": "Bearer", "token_ref": "A;B"}, "justification": why}, "token_ref"},
		{"pipelock-block", map[string]any{"failed_url": "ftp://a.example.org/", "justification": why}, "http"},
		{"pipelock-block", map[string]any{"failed_url": "/relative", "justification": why}, "http"},
		{"pipelock-block", map[string]any{"failed_url": "https://u:p@a.example.org/", "justification": why}, "password"},
		{"pipelock-block", map[string]any{"failed_url": "https://[::1]/", "justification": why}, "failed_url"},
		{"pipelock-block", map[string]any{"failed_url": "https://169.254.169.254/latest", "justification": why}, "failed_url"},
		{"capability-block", map[string]any{"containerfile": "RUN true", "justification": why}, "FROM"},
		{"capability-block", map[string]any{"containerfile": "FROM x\n" + strings.Repeat("#", 101<<10), "justification": why}, "longer"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		_, text, err := call[answer](ctx, session, test.tool, test.args)
		cancel()
		if err != nil || !strings.Contains(text, test.want) {
			t.Errorf("%s %v: %q %v, want an error with %q", test.tool, test.args, text, err, test.want)
		}
	}
	if pending, _ := b.queue.Pending(); len(pending) != 0 {
		t.Errorf("refused arguments left proposals: %v", pending)
	}
}

func TestLargeRequest(t *testing.T) {
	b := start(t, nil)
	for name, body := range map[string]string{
		"one string":  `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"` + strings.Repeat("x", maxBody) + `"}}`,
		"not JSON":    "{",
		"deep":        strings.Repeat("[", 100000),
		"not a batch": "[]",
	} {
		if status, answer := post(t, b.url, body); status < 400 || status >= 500 {
			t.Errorf("%s: status %d: %s", name, status, answer)
		}
	}
	if _, text, err := call[statuses](t.Context(), b.client(nil), "proposal-status", nil); err != nil || text != "" {
		t.Errorf("afterwards: %q %v", text, err)
	}
}
