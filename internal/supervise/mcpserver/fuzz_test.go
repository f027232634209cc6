package mcpserver

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/podbottle/podbottle/internal/supervise"
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
	queue, server := newFuzzed(f)
	if status, answer := post(f, server, list); status != http.StatusOK || !strings.Contains(answer, "egress-block") {
		f.Fatalf("the list of tools, the control: %d %s", status, answer)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if status, answer := post(t, server, string(body)); status >= http.StatusInternalServerError {
			t.Errorf("status %d: %s", status, answer)
		}
		checkQueue(t, queue)
	})
}

// FuzzConnection is FuzzServer for what HTTP has besides: sessions, streams of events,
// versions of the protocol, lengths. In head LENGTH stands for the body's.
func FuzzConnection(f *testing.F) {
	const (
		asked = "Host: supervise\r\nAccept: application/json, text/event-stream\r\nContent-Type: application/json\r\n"
		whole = "Content-Length: LENGTH\r\n\r\n"
	)
	f.Add("POST /mcp HTTP/1.1\r\n"+asked+whole, []byte(list))
	f.Add("POST / HTTP/1.1\r\n"+asked+"Mcp-Session-Id: ../../x\r\nMcp-Protocol-Version: 2025-06-18\r\n"+whole, []byte("["+list+","+list+"]"))
	f.Add("POST / HTTP/1.1\r\n"+asked+"Transfer-Encoding: chunked\r\n\r\n", []byte("2\r\n{}\r\n0\r\n\r\n"))
	f.Add("POST / HTTP/1.1\r\n"+asked+"Expect: 100-continue\r\nContent-Length: 999999999\r\n\r\n", []byte("{"))
	f.Add("GET / HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nLast-Event-Id: 1\r\n\r\n", []byte{})
	f.Add("DELETE / HTTP/1.1\r\nHost: x\r\nMcp-Session-Id: 1\r\n\r\n", []byte{})
	f.Add("POST / HTTP/1.1\r\n"+asked+"Mcp-Method: tools/call\r\nMcp-Name: egress-block\r\n"+whole,
		[]byte(`{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"_meta":{"progressToken":1},"name":"egress-block","arguments":{"host":"a.example.org","justification":"why"}}}`))
	queue, server := newFuzzed(f)
	f.Fuzz(func(t *testing.T, head string, body []byte) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(server, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		sent := strings.ReplaceAll(head, "LENGTH", fmt.Sprint(len(body))) + string(body) + "\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
		_, _ = io.WriteString(conn, sent)
		var answer strings.Builder
		for buffer := make([]byte, 4096); ; {
			_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)) // what was sent may be the beginning of anything
			n, err := conn.Read(buffer)
			answer.Write(buffer[:n])
			if err != nil {
				break
			}
		}
		if failed := "HTTP/1.1 500 "; strings.Contains(answer.String(), failed) && !strings.Contains(sent, failed) {
			t.Errorf("%q is answered with %q", sent, answer.String())
		}
		if status, _ := post(t, server, list); status != http.StatusOK {
			t.Errorf("after %q the list of tools has status %d", sent, status)
		}
		checkQueue(t, queue)
	})
}

// fuzzedArchive is how many denied proposals are kept.
const fuzzedArchive = 50

// newFuzzed is a server without an operator, which denies each proposal at once.
func newFuzzed(f *testing.F) (queue *supervise.Queue, url string) {
	f.Helper()
	dir := filepath.Join(f.TempDir(), "queue")
	queue, records := newQueue(f, dir)
	limits := DefaultLimits
	limits.Burst, limits.Every, limits.Archived = 1<<30, time.Nanosecond, fuzzedArchive
	s := New(Config{Slug: "demo-abc12", Version: "test", RoutesFile: filepath.Join(dir, "none"), Limits: limits, Audit: records, Log: slog.New(slog.DiscardHandler)}, queue)
	server := httptest.NewServer(s.handler(context.Background()))
	f.Cleanup(server.Close)
	return queue, server.URL
}

// checkQueue wants what is before the operator to be well formed and within the limits.
func checkQueue(t *testing.T, queue *supervise.Queue) {
	t.Helper()
	pending, damaged := queue.Pending()
	decided, damagedToo := queue.Decided(2 * fuzzedArchive)
	if len(damaged)+len(damagedToo) > 0 {
		t.Fatalf("in the queue: %v %v", damaged, damagedToo)
	}
	if len(pending) > 0 || len(decided) > fuzzedArchive {
		t.Fatalf("nobody answers here, and yet %d proposals wait and %d are kept", len(pending), len(decided))
	}
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
