package proxy

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// FuzzHTTP2 is FuzzProxy for HTTP/2: a request with any fields and any bytes after it,
// inside a tunnel to the allowed host.
func FuzzHTTP2(f *testing.F) {
	for _, r := range []rawRequest{
		{":method", "GET", ":scheme", "https", ":authority", "HOST", ":path", "/open/x", "accept", "*/*"},
		{":method", "GET", ":scheme", "https", ":authority", "HOST", ":path", "/open/../secret", "host", "other.example.org"},
		{":method", "GET", ":scheme", "http", ":authority", "other.example.org", ":path", "/open/x", "authorization", "Bearer mine"},
		{":method", "POST", ":scheme", "https", ":authority", "HOST", ":path", "https://other.example.org/open/", "content-length", "1"},
		{":method", "CONNECT", ":protocol", "websocket", ":authority", "HOST", ":path", "/open/x", ":scheme", "https"},
		{":method", "GET", ":path", "/open/x", ":path", "/secret", ":authority", "HOST", "transfer-encoding", "chunked"},
		{":method", "GET", ":scheme", "https", ":path", "/open/x", "host", "HOST", "connection", "authorization"},
	} {
		f.Add(r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9], "", []byte{})
		f.Add(r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9], "body", []byte("\x00\x00\x04\x03\x00\x00\x00\x00\x01\x00\x00\x00\x08"))
	}
	b, seen := newFuzzed(f)
	ordinary := rawRequest{":method", "GET", ":scheme", "https", ":authority", "HOST", ":path", "/open/x", "accept", "*/*"}
	if got := b.exchangeHTTP2(f, ordinary, "", nil, 2*time.Minute); strings.Count(got, "you sent Bearer") != 2 {
		f.Fatalf("two ordinary requests are answered with %q", got)
	}
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2, name3, value3, name4, value4, name5, value5, body string, after []byte) {
		r := rawRequest{name1, value1, name2, value2, name3, value3, name4, value4, name5, value5}
		answer := b.exchangeHTTP2(t, r, body, after, 100*time.Millisecond)
		if strings.Contains(answer, testToken) {
			t.Errorf("%q brings the credential back: %q", r, answer)
		}
		if what := seen.take(); what != "" {
			t.Errorf("%q and %q make %s", r, after, what)
		}
	})
}

// rawRequest is five fields, name and value in turn, in which HOST stands for the
// upstream's authority.
type rawRequest [10]string

func (r rawRequest) block(t testing.TB, authority string) []byte {
	t.Helper()
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for i := 0; i < len(r); i += 2 {
		field := hpack.HeaderField{Name: r[i], Value: strings.ReplaceAll(r[i+1], "HOST", authority)}
		if field.Name == "" {
			continue
		}
		if err := encoder.WriteField(field); err != nil {
			t.Fatal(err)
		}
	}
	return block.Bytes()
}

// exchangeHTTP2 sends a request, then the bytes after, and then a request that
// must be answered if the connection still stands. It returns fields and bodies until
// both have ended, or until nothing has come for the time of patience.
func (b *bottle) exchangeHTTP2(t testing.TB, r rawRequest, body string, after []byte, patience time.Duration) string {
	t.Helper()
	conn := b.dial(t)
	defer conn.Close()
	session := b.tunnel(t, conn, "h2")
	var out bytes.Buffer
	out.WriteString(http2.ClientPreface)
	write := http2.NewFramer(&out, nil)
	last := rawRequest{":method", "GET", ":scheme", "https", ":authority", "HOST", ":path", "/open/last"}
	err := write.WriteSettings()
	if err == nil {
		err = write.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: r.block(t, b.authority()), EndHeaders: true, EndStream: body == ""})
	}
	if err == nil && body != "" {
		err = write.WriteData(1, true, []byte(body))
	}
	out.Write(after)
	if err == nil {
		err = write.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: last.block(t, b.authority()), EndHeaders: true, EndStream: true})
	}
	if err != nil {
		t.Fatal(err)
	}
	_, _ = session.Write(out.Bytes())
	return readHTTP2(session, patience)
}

// readHTTP2 reads until two streams have ended.
func readHTTP2(session net.Conn, patience time.Duration) string {
	var answer strings.Builder
	read := http2.NewFramer(io.Discard, session)
	read.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	for open := 2; open > 0 && answer.Len() < 1<<20; {
		_ = session.SetReadDeadline(time.Now().Add(patience))
		frame, err := read.ReadFrame()
		if err != nil {
			break
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			for _, field := range frame.Fields {
				answer.WriteString(field.Name + ": " + field.Value + "\n")
			}
			if frame.StreamEnded() {
				open--
			}
		case *http2.DataFrame:
			answer.Write(frame.Data())
			if frame.StreamEnded() {
				open--
			}
		case *http2.RSTStreamFrame:
			open--
		case *http2.GoAwayFrame:
			answer.Write(frame.DebugData())
			open = 0
		}
	}
	return answer.String()
}
