package intercept

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// headServer answers every request with whether its length is ambiguous, and is dialled.
func headServer(t *testing.T, handle func()) net.Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := "clear"
		if AmbiguousLength(r) {
			answer = "ambiguous"
		}
		_, _ = io.Copy(io.Discard, r.Body)
		handle()
		_, _ = io.WriteString(w, answer)
	})}
	go func() { _ = server.Serve(KeepHeads(server, l)) }()
	t.Cleanup(func() { _ = server.Close() })
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestAmbiguousLength(t *testing.T) {
	const chunked, length = "Transfer-Encoding: chunked\r\n", "content-length: 5\r\n"
	post := func(header, body string) string { return "POST /x HTTP/1.1\r\nHost: a\r\n" + header + "\r\n" + body }
	const chunks = "5\r\nhello\r\n0\r\n\r\n"
	long := "X-Long: " + strings.Repeat("x", 9000) + "\r\n"
	large := "2000\r\n" + strings.Repeat("x", 0x2000) + "\r\n0\r\n\r\n"
	for name, tt := range map[string]struct {
		requests []string // each is sent when the answer before has come
		want     []string
	}{
		"one of them":             {[]string{post(chunked, chunks), post(length, "hello"), post("", ""), post(chunked, chunks)}, []string{"clear", "clear", "clear", "clear"}},
		"both":                    {[]string{post(chunked+length, chunks)}, []string{"ambiguous"}},
		"both, in another order":  {[]string{post(length+chunked, chunks)}, []string{"ambiguous"}},
		"both, later":             {[]string{post(chunked, large), post(length, "hello"), post(chunked+length, chunks), post(chunked, chunks)}, []string{"clear", "clear", "ambiguous", "clear"}},
		"long heads":              {[]string{post(long+chunked, chunks), post(long+chunked+length, chunks), post(chunked+long, chunks)}, []string{"clear", "ambiguous", "clear"}},
		"a length in the body":    {[]string{post(chunked, "19\r\n\r\n\r\nContent-Length: 5\r\n\r\n\r\n0\r\n\r\n"), post(chunked, chunks)}, []string{"clear", "clear"}},
		"pipelined, not chunked":  {[]string{post(length, "hello") + post(length, "hello")}, []string{"clear", "clear"}},
		"pipelined is as if both": {[]string{post(length, "hello") + post(chunked, chunks)}, []string{"clear", "ambiguous"}},
	} {
		t.Run(name, func(t *testing.T) {
			conn := headServer(t, func() {})
			answers := bufio.NewReader(conn)
			var got []string
			for i := range tt.want {
				if i < len(tt.requests) {
					if _, err := io.WriteString(conn, tt.requests[i]); err != nil {
						t.Fatal(err)
					}
				}
				got = append(got, readAnswer(t, answers))
			}
			if strings.Join(got, " ") != strings.Join(tt.want, " ") {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func readAnswer(t *testing.T, answers *bufio.Reader) string {
	t.Helper()
	res, err := http.ReadResponse(answers, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// TestAHeadThatBeginsWhileAnotherIsHandled: the server has read its first byte by then.
func TestAHeadThatBeginsWhileAnotherIsHandled(t *testing.T) {
	handling, more := make(chan struct{}), make(chan struct{})
	conn := headServer(t, func() { handling <- struct{}{}; <-more })
	answers := bufio.NewReader(conn)
	const head, rest = "POST / HTTP/1.1\r\n", "Host: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
	for i := range 3 {
		if i == 0 {
			_, _ = io.WriteString(conn, head+rest)
		}
		<-handling
		_, _ = io.WriteString(conn, head) // of the next one
		time.Sleep(20 * time.Millisecond) // the server reads ahead meanwhile, or does not: both must do
		more <- struct{}{}
		if got := readAnswer(t, answers); got != "clear" {
			t.Errorf("request %d: %s", i, got)
		}
		_, _ = io.WriteString(conn, rest)
	}
	<-handling
	close(more)
}

// FuzzHead reads any head that net/http takes as chunked, in pieces of any size: a
// length is seen where there is one, and nowhere else.
func FuzzHead(f *testing.F) {
	f.Add("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", uint8(0))
	f.Add("POST / HTTP/1.1\nHost: a\nX: content-length\ntransfer-encoding:chunked\n\nContent-Length: 1\n\n", uint8(1))
	f.Add("POST http://a/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n0\r\n\r\n", uint8(200))
	f.Fuzz(func(t *testing.T, text string, size uint8) {
		seen := func(text string) bool {
			c := newHeadConn(&record{in: strings.NewReader(text)})
			for !c.complete {
				if _, err := c.Read(make([]byte, int(size)+2)); err != nil {
					break
				}
			}
			return c.hasLength()
		}
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
		if err != nil || len(r.TransferEncoding) == 0 {
			return
		}
		head := text[:headEnd([]byte(text))]
		if !strings.Contains(strings.ToLower(head), "content-length") && seen(text) {
			t.Errorf("%q: a length where there is none", text)
		}
		line, rest, _ := strings.Cut(text, "\n")
		if !seen(line + "\nContent-Length: 4\r\n" + rest) {
			t.Errorf("%q: the length put into it is not seen", text)
		}
	})
}
