package intercept

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"net/http"
	"net/textproto"
	"sync"
)

// headConn keeps the head of the HTTP/1.1 request that is being read, as it came. A
// request with Transfer-Encoding and Content-Length is one that two servers may cut off
// at different places (RFC 9112, section 6.3); net/http goes by the first, drops
// the other, and tells nobody.
type headConn struct {
	net.Conn

	mu       sync.Mutex
	head     []byte
	complete bool
}

// newHeadConn wraps a connection before its first request.
func newHeadConn(c net.Conn) *headConn { return &headConn{Conn: c} }

// Read implements net.Conn. While a request is handled the server reads single bytes
// ahead, to see whether the client goes away: those begin the next head.
func (c *headConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.complete:
		c.head = append(c.head, p[:n]...)
		c.complete = len(c.head) > maxHeaderBytes || headEnd(c.head) >= 0
	case len(p) == 1:
		c.head = append(c.head[:0], p[:n]...)
	}
	return n, err
}

// next readies the connection for the head of another request.
func (c *headConn) next() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.head) > 1 {
		c.head = nil
	}
	c.complete = false
}

// hasLength reports whether the head names a Content-Length. It does so too where the
// head is not known, because it came with the request before.
func (c *headConn) hasLength() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	end := headEnd(c.head)
	if end < 0 {
		return true
	}
	lines := textproto.NewReader(bufio.NewReader(bytes.NewReader(c.head[:end])))
	if _, err := lines.ReadLine(); err != nil { // the request line
		return true
	}
	header, err := lines.ReadMIMEHeader()
	return err != nil || len(header["Content-Length"]) > 0
}

// headEnd is where the empty line after a head ends; -1 if there is none.
func headEnd(text []byte) int {
	for _, empty := range []string{"\n\r\n", "\n\n"} {
		if i := bytes.Index(text, []byte(empty)); i >= 0 {
			return i + len(empty)
		}
	}
	return -1
}

type headKey struct{}

// KeepHeads makes a server of HTTP/1.1 keep what AmbiguousLength needs. The server's
// connections must come from the returned listener.
func KeepHeads(s *http.Server, l net.Listener) net.Listener {
	s.ConnState = nextHead
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, headKey{}, c) }
	return headListener{l}
}

func nextHead(c net.Conn, state http.ConnState) {
	if head, ok := c.(*headConn); ok && state == http.StateIdle {
		head.next()
	}
}

type headListener struct{ net.Listener }

func (l headListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return newHeadConn(c), nil
}

// AmbiguousLength reports whether a request came with both Transfer-Encoding and
// Content-Length. Of a pipelined request with Transfer-Encoding it is not known, and
// it counts as one.
func AmbiguousLength(r *http.Request) bool {
	c, ok := r.Context().Value(headKey{}).(*headConn)
	return ok && r.ProtoMajor == 1 && len(r.TransferEncoding) > 0 && c.hasLength()
}
