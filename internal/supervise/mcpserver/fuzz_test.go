package mcpserver

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// FuzzServer sends any body as a message of MCP. The server goes on answering, and
// what it puts before the operator is well formed and within its limits.
func FuzzServer(f *testing.F) {
	call := func(tool, arguments string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + tool + `","arguments":` + arguments + `}}`
	}
	for _, body := range []string{
		list,
		`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"a","version":"1"}}}`,
		`[{"jsonrpc":"2.0","method":"notifications/initialized"}]`,
		call("egress-block", `{"host":"a.example.org","path_allowlist":["/v1/"],"justification":"why"}`),
		call("pipelock-block", `{"failed_url":"https://a.example.org/x","justification":"\u001b[2J"}`),
		call("capability-block", `{"containerfile":"FROM a\nRUN b\n","justification":"why"}`),
		call("proposal-status", `{"id":"../../x"}`),
		call("list-egress-routes", `null`),
	} {
		f.Add([]byte(body))
	}
	dir := filepath.Join(f.TempDir(), "queue")
	queue, records := newQueue(f, dir)
	limits := DefaultLimits
	limits.Burst, limits.Every = 1<<30, time.Nanosecond
	s := New(Config{Slug: "demo-abc12", Version: "test", RoutesFile: filepath.Join(dir, "none"), Limits: limits, Audit: records, Log: slog.New(slog.DiscardHandler)}, queue)
	server := httptest.NewServer(s.handler(context.Background()))
	f.Cleanup(server.Close)
	if status, answer := post(f, server.URL, list); status != http.StatusOK || !strings.Contains(answer, "egress-block") {
		f.Fatalf("the list of tools, the control: %d %s", status, answer)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if status, answer := post(t, server.URL, string(body)); status >= http.StatusInternalServerError {
			t.Errorf("status %d: %s", status, answer)
		}
		pending, damaged := queue.Pending()
		decided, damagedToo := queue.Decided(2 * limits.Archived)
		if len(damaged)+len(damagedToo) > 0 {
			t.Fatalf("in the queue: %v %v", damaged, damagedToo)
		}
		if len(pending) > 0 || len(decided) > limits.Archived+1 {
			t.Fatalf("nobody answers here, and yet %d proposals wait and %d are kept", len(pending), len(decided))
		}
	})
}

// list asks for the tools.
const list = `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}`

func post(t testing.TB, url, body string) (status int, answer string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json, text/event-stream")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}
