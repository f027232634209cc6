package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/podbottle/podbottle/internal/egress"
)

// bothVersions runs a test with HTTP/1.1 and HTTP/2 on the agent's leg.
func bothVersions(t *testing.T, test func(t *testing.T, h2 bool)) {
	t.Helper()
	for _, h2 := range []bool{false, true} {
		t.Run(map[bool]string{false: "HTTP1.1", true: "HTTP2"}[h2], func(t *testing.T) { test(t, h2) })
	}
}

// TestServerSentEventsArriveOneByOne: the upstream sends the next event only when the
// client says that it has the one before, so that any buffering stops the test.
func TestServerSentEventsArriveOneByOne(t *testing.T) {
	bothVersions(t, func(t *testing.T, h2 bool) {
		seen := make(chan struct{})
		b := newBottle(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for i := range 20 {
				fmt.Fprintf(w, "data: event %d %s\n\n", i, r.Header.Get("Authorization"))
				_ = http.NewResponseController(w).Flush()
				select {
				case <-seen:
				case <-r.Context().Done():
					return
				}
			}
		}), nil)
		res, err := b.client(h2).Get(b.url("/events"))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		lines := bufio.NewScanner(res.Body)
		for i := range 20 {
			want := fmt.Sprintf("data: event %d Bearer %s", i, strings.Repeat("*", len(testToken)))
			if !lines.Scan() || lines.Text() != want {
				t.Fatalf("got %q, %v; want %q", lines.Text(), lines.Err(), want)
			}
			lines.Scan()
			seen <- struct{}{}
		}
	})
}

func TestWebSocketEcho(t *testing.T) {
	b := newBottle(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionContextTakeover})
		if err != nil {
			return
		}
		defer func() { _ = conn.CloseNow() }()
		if err := conn.Write(r.Context(), websocket.MessageText, []byte("hello "+r.Header.Get("Authorization"))); err != nil {
			return
		}
		for {
			kind, data, err := conn.Read(r.Context())
			if err != nil {
				return
			}
			if err := conn.Write(r.Context(), kind, data); err != nil {
				return
			}
		}
	}), nil)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	conn, res, err := websocket.Dial(ctx, b.url("/ws"), &websocket.DialOptions{
		HTTPClient: b.client(false), CompressionMode: websocket.CompressionContextTakeover,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }()
	if res.Header.Get("Sec-WebSocket-Extensions") != "" {
		t.Error("frames may be compressed, so that a token in them cannot be seen")
	}
	_, data, err := conn.Read(ctx)
	if want := "hello Bearer " + strings.Repeat("*", len(testToken)); err != nil || string(data) != want {
		t.Fatalf("got %q, %v; want %q", data, err, want)
	}
	for i := range 20 {
		// Each message ends with the beginning of the token, and still has to arrive.
		want := fmt.Appendf(nil, "message %d %s", i, testToken[:i%5])
		if err := conn.Write(ctx, websocket.MessageBinary, want); err != nil {
			t.Fatal(err)
		}
		if _, got, err := conn.Read(ctx); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("got %q, %v; want %q", got, err, want)
		}
	}
	if err := conn.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
	records := b.records()
	if r := records[len(records)-1]; r.Status != http.StatusSwitchingProtocols || r.Sent == 0 || r.Received == 0 {
		t.Errorf("recorded %+v", r)
	}
}

// TestBothDirectionsStreamAtOnce is how gRPC works: HTTP/2, the request body goes on
// while the response arrives, and the status is in the trailers.
func TestBothDirectionsStreamAtOnce(t *testing.T) {
	b := newBottle(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Te") != "trailers" {
			t.Error("upstream does not see TE: trailers")
		}
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		lines := bufio.NewScanner(r.Body)
		for lines.Scan() {
			fmt.Fprintln(w, "echo", lines.Text())
			_ = http.NewResponseController(w).Flush()
		}
		w.Header().Set("Grpc-Status", "0")
		w.Header().Set(http.TrailerPrefix+"Grpc-Message", "seen "+r.Header.Get("Authorization"))
	}), nil)
	body, send := io.Pipe()
	req, err := http.NewRequest("POST", b.url("/pkg.Service/Method"), body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("Te", "trailers")
	res, err := b.client(true).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answers := bufio.NewReader(res.Body)
	for i := range 10 {
		fmt.Fprintln(send, "message", i)
		if got, err := answers.ReadString('\n'); got != fmt.Sprintf("echo message %d\n", i) {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	_ = send.Close()
	if rest, err := io.ReadAll(answers); err != nil || len(rest) != 0 {
		t.Fatalf("the rest is %q, %v", rest, err)
	}
	if got := res.Trailer.Get("Grpc-Status"); got != "0" {
		t.Errorf("trailer Grpc-Status %q", got)
	}
	if got, want := res.Trailer.Get("Grpc-Message"), "seen Bearer "+strings.Repeat("*", len(testToken)); got != want {
		t.Errorf("trailer Grpc-Message %q, want %q", got, want)
	}
}

func TestRequestTrailers(t *testing.T) {
	bothVersions(t, func(t *testing.T, h2 bool) {
		b := newBottle(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, r.Trailer.Get("X-Checksum"))
		}), nil)
		req, err := http.NewRequest("POST", b.url("/"), io.MultiReader(strings.NewReader("some"), strings.NewReader(" body")))
		if err != nil {
			t.Fatal(err)
		}
		req.Trailer = http.Header{"X-Checksum": {"abc"}}
		res, err := b.client(h2).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if got, err := io.ReadAll(res.Body); string(got) != "abc" {
			t.Errorf("upstream saw the trailer %q, %v", got, err)
		}
	})
}

// TestExpectContinue: the body is sent only when the upstream has said that it wants
// it, and not at all when it has not.
func TestExpectContinue(t *testing.T) {
	b := newBottle(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			w.WriteHeader(http.StatusExpectationFailed)
			return
		}
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	}), nil)
	for _, tt := range []struct {
		path      string
		continued bool
		status    int
	}{{"/yes", true, 200}, {"/no", false, 417}} {
		continued := false
		body := &countingReader{Reader: strings.NewReader(strings.Repeat("x", 100_000))}
		ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{Got100Continue: func() { continued = true }})
		req, err := http.NewRequestWithContext(ctx, "POST", b.url(tt.path), body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Expect", "100-continue")
		res, err := b.client(false).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != tt.status || continued != tt.continued || (body.n.Load() > 0) != tt.continued {
			t.Errorf("%s: status %d, continued %v, %d bytes of the body read", tt.path, res.StatusCode, continued, body.n.Load())
		}
	}
}

type countingReader struct {
	io.Reader
	n atomic.Int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

func TestEarlyHintsAreMasked(t *testing.T) {
	b := newBottle(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</x>; title="+r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		fmt.Fprint(w, "done")
	}), nil)
	var hint string
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{Got1xxResponse: func(_ int, header textproto.MIMEHeader) error {
		hint = header.Get("Link")
		return nil
	}})
	req, err := http.NewRequestWithContext(ctx, "GET", b.url("/"), nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := b.client(false).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if want := "</x>; title=Bearer " + strings.Repeat("*", len(testToken)); hint != want {
		t.Errorf("the hint is %q, want %q", hint, want)
	}
}

// TestTwoHundredStreamsAtOnce: all are open at the same time before any ends.
func TestTwoHundredStreamsAtOnce(t *testing.T) {
	bothVersions(t, func(t *testing.T, h2 bool) {
		const streams = 200
		var open sync.WaitGroup
		open.Add(streams)
		b := newBottle(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/first" {
				return
			}
			_ = http.NewResponseController(w).Flush()
			open.Done()
			open.Wait()
			_, _ = w.Write(bytes.Repeat([]byte("data "), 10_000))
		}), nil)
		client := b.client(h2)
		_, _ = get(t, client, b.url("/first"), nil) // opens the connections that HTTP/2 shares
		var group sync.WaitGroup
		for range streams {
			group.Go(func() {
				res, err := client.Get(b.url("/"))
				if err != nil {
					t.Error(err)
					open.Done()
					return
				}
				defer res.Body.Close()
				if n, err := io.Copy(io.Discard, res.Body); n != 50_000 || err != nil {
					t.Errorf("%d bytes, %v", n, err)
				}
			})
		}
		group.Wait()
	})
}

// pattern is an endless text without the token.
type pattern struct{ n int64 }

func (p *pattern) Read(buf []byte) (int, error) {
	for i := range buf {
		buf[i] = byte('a' + (p.n+int64(i))%23)
	}
	p.n += int64(len(buf))
	return len(buf), nil
}

// TestLargeBodiesTakeNoMemory sends a body both ways and looks at the heap of this
// process, which has the client, egress, firewall and upstream in it.
func TestLargeBodiesTakeNoMemory(t *testing.T) {
	const size = 64 << 20
	bothVersions(t, func(t *testing.T, h2 bool) {
		b := newBottle(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			sum := sha256.New()
			n, _ := io.Copy(sum, r.Body)
			w.Header().Set("X-Received", fmt.Sprintf("%d %x", n, sum.Sum(nil)))
			_, _ = io.Copy(w, io.LimitReader(&pattern{}, size))
		}), nil)
		want := sha256.New()
		_, _ = io.Copy(want, io.LimitReader(&pattern{}, size))
		sent := io.LimitReader(&pattern{}, size)
		req, err := http.NewRequest("POST", b.url("/"), sent)
		if err != nil {
			t.Fatal(err)
		}
		client := b.client(h2)
		client.Timeout = 5 * time.Minute
		peak := watchHeap(t)
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if got, want := res.Header.Get("X-Received"), fmt.Sprintf("%d %x", size, want.Sum(nil)); got != want {
			t.Errorf("upstream received %s, want %s", got, want)
		}
		sum := sha256.New()
		if n, err := io.Copy(sum, res.Body); n != size || err != nil || !bytes.Equal(sum.Sum(nil), want.Sum(nil)) {
			t.Errorf("received %d bytes, %v", n, err)
		}
		most := peak()
		t.Logf("%d MiB each way, the heap grew by up to %.1f MiB", size>>20, float64(most)/(1<<20))
		if most > 64<<20 {
			t.Errorf("the heap grew by %d MiB", most>>20)
		}
	})
}

// watchHeap samples the live heap until the returned function is called, which says
// by how much it had grown at the most.
func watchHeap(t *testing.T) func() uint64 {
	t.Helper()
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	stop := make(chan struct{})
	result := make(chan uint64)
	go func() {
		var most uint64
		var stats runtime.MemStats
		for {
			select {
			case <-stop:
				result <- most - min(most, before.HeapInuse)
				return
			case <-time.After(5 * time.Millisecond):
				runtime.ReadMemStats(&stats)
				most = max(most, stats.HeapInuse)
			}
		}
	}()
	return func() uint64 { close(stop); return <-result }
}

// TestIdleExchangeIsCut, and one that moves is not, however long it takes. A busy machine
// may keep what moves waiting for a while; hence the long idle time.
func TestIdleExchangeIsCut(t *testing.T) {
	const idle, ticks = 5 * time.Second, 12
	bothVersions(t, func(t *testing.T, h2 bool) {
		t.Parallel()
		release := make(chan struct{})
		defer close(release)
		b := newBottle(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/silent" {
				<-r.Context().Done()
				return
			}
			for range ticks {
				fmt.Fprint(w, "tick ")
				_ = http.NewResponseController(w).Flush()
				if r.URL.Path == "/stuck" {
					<-r.Context().Done()
					return
				}
				time.Sleep(idle / (ticks - 2))
			}
		}), nil)
		b.proxy.config.IdleTimeout = idle

		res, body := get(t, b.client(h2), b.url("/slow"), nil)
		if res.StatusCode != http.StatusOK || body != strings.Repeat("tick ", ticks) {
			t.Errorf("a stream that moves: %s %q", res.Status, body)
		}
		res, _ = get(t, b.client(h2), b.url("/silent"), nil)
		if res.StatusCode != http.StatusGatewayTimeout || res.Header.Get(ReasonHeader) != string(ReasonIdle) {
			t.Errorf("an upstream that says nothing: %s", statusOf(res))
		}
		res, err := b.client(h2).Get(b.url("/stuck"))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if got, err := io.ReadAll(res.Body); err == nil || string(got) != "tick " {
			t.Errorf("a stream that stops: %q, %v", got, err)
		}
		records := b.records()
		if r := records[len(records)-1]; r.Detail != errIdle.Error() {
			t.Errorf("recorded %+v", r)
		}
	})
}

func TestAClientThatGoesAwayEndsTheUpstreamsRequest(t *testing.T) {
	bothVersions(t, func(t *testing.T, h2 bool) {
		ended := make(chan struct{})
		b := newBottle(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, "begun")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			close(ended)
		}), nil)
		ctx, cancel := context.WithCancel(context.Background())
		req, err := http.NewRequestWithContext(ctx, "GET", b.url("/"), nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := b.client(h2).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if _, err := io.ReadAll(res.Body); !errors.Is(err, context.Canceled) {
			t.Errorf("reading on: %v", err)
		}
		<-ended
	})
}

func TestADeadFirewallIsABadGatewayAndNeverADirectDial(t *testing.T) {
	hit := false
	b := newBottle(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hit = true }), func(*egress.Route) []egress.Route { return nil })
	b.stopFirewall()
	res, body := get(t, b.client(true), b.url("/"), nil)
	if res.StatusCode != http.StatusBadGateway || res.Header.Get(ReasonHeader) != string(ReasonFirewallDown) || hit {
		t.Errorf("%s %q, upstream reached: %v", statusOf(res), body, hit)
	}
}
