package intercept

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	firstTimeout   = 10 * time.Second // for the first byte in a tunnel
	helloTimeout   = 30 * time.Second // for the whole handshake
	headerTimeout  = 30 * time.Second
	idleTimeout    = 10 * time.Minute
	maxHeaderBytes = 256 << 10
	maxStreams     = 1000
)

// extensionECH is encrypted_client_hello (RFC 9849).
const extensionECH = 0xfe0d

// Errors of Serve, each a reason to refuse the tunnel.
var (
	ErrNoServerName = errors.New("the client hello names no server")
	ErrServerName   = errors.New("the client hello names another server than CONNECT")
	ErrEncryptedSNI = errors.New("the client hello hides its server name (ECH)")
	ErrProtocol     = errors.New("the tunnel carries neither TLS nor HTTP")
	ErrHandshake    = errors.New("the TLS handshake failed")
)

// Target is the host that a tunnel was opened for, in its normal form.
type Target struct {
	Host string
	Port int
}

type targetKey struct{}

// TargetOf returns the tunnel's target for a request that came out of one.
func TargetOf(ctx context.Context) (Target, bool) {
	t, ok := ctx.Value(targetKey{}).(Target)
	return t, ok
}

// Server serves the requests inside tunnels. Its limits are those of a client
// that is not trusted: a first byte within ten seconds, the handshake within thirty
// (crypto/tls bounds the client hello to 64 KiB), headers within thirty, a
// connection without a request for at most ten minutes.
type Server struct {
	// Malformed is called for a request in HTTP/2 that is reset as malformed before
	// there is one to handle, with what net/http calls it. Set it before Run.
	Malformed func(what string)

	authority *Authority
	http      *http.Server
	conns     chan net.Conn
	closed    chan struct{}
	closeOnce sync.Once
}

// NewServer returns a server that answers requests with handler. Run must be
// called for it to do so.
func NewServer(authority *Authority, handler http.Handler, errors io.Writer) *Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	s := &Server{
		Malformed: func(string) {},
		authority: authority,
		conns:     make(chan net.Conn),
		closed:    make(chan struct{}),
		http: &http.Server{
			Handler:           handler,
			Protocols:         protocols,
			ReadHeaderTimeout: headerTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeaderBytes,
			ErrorLog:          log.New(errors, "", 0),
			HTTP2:             HTTP2(NearWindow),
			ConnState:         nextHead,
			ConnContext:       tunnelContext,
		},
	}
	s.http.HTTP2.MaxConcurrentStreams = maxStreams
	s.http.HTTP2.CountError = func(what string) {
		if slices.ContainsFunc(malformed, func(kind string) bool { return strings.HasSuffix(what, kind) }) {
			s.Malformed(what)
		}
	}
	return s
}

// tunnelContext gives the requests of a connection what is known of it.
func tunnelContext(ctx context.Context, c net.Conn) context.Context {
	if head, ok := c.(*headConn); ok {
		ctx = context.WithValue(ctx, headKey{}, head)
		c = head.Conn
	}
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	return context.WithValue(ctx, targetKey{}, c.(*tunnelConn).target)
}

// Encrypted reports whether a request came over TLS. net/http says so of HTTP/1.1 only for
// a connection that is a tls.Conn itself.
func Encrypted(r *http.Request) bool {
	if c, ok := r.Context().Value(headKey{}).(*headConn); ok {
		_, ok = c.Conn.(*tls.Conn)
		return ok
	}
	return r.TLS != nil
}

// malformed ends the names of the errors that net/http counts where a request has an
// unusable :path, :method or :scheme (RFC 9113, section 8.3.1).
var malformed = []string{"_bad_path", "_bad_path_method", "_bad_connect"}

// Run serves until Close.
func (s *Server) Run() error {
	if err := s.http.Serve((*listener)(s)); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close ends every tunnel at once.
func (s *Server) Close() error {
	err := s.http.Close()
	s.closeOnce.Do(func() { close(s.closed) })
	return err
}

// Serve takes over conn, a tunnel that the client was told is open. It reads the
// client hello, refuses one that names another server than target, and hands the
// connection on. A plain HTTP request is served too, but not on port 443, where
// it could only be a mistake. On error the connection is closed. buffered holds what was
// read from conn already.
func (s *Server) Serve(ctx context.Context, conn net.Conn, buffered *bufio.Reader, target Target) error {
	if head, ok := conn.(*headConn); ok {
		conn = head.Conn // no heads come over it any more
	}
	c := &tunnelConn{Conn: conn, reader: buffered, target: target}
	served, err := s.open(ctx, c)
	if err != nil {
		_ = conn.Close()
		return err
	}
	select {
	case s.conns <- served:
		return nil
	case <-s.closed:
		return conn.Close()
	}
}

func (s *Server) open(ctx context.Context, c *tunnelConn) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	_ = c.SetReadDeadline(time.Now().Add(firstTimeout))
	first, err := c.reader.Peek(1)
	if err != nil {
		return nil, fmt.Errorf("%w: nothing was sent", ErrProtocol)
	}
	_ = c.SetReadDeadline(time.Time{})
	const recordHandshake = 0x16
	if first[0] != recordHandshake {
		if first[0] < 'A' || first[0] > 'Z' || c.target.Port == 443 {
			return nil, ErrProtocol
		}
		return newHeadConn(c), nil
	}
	var refusal error
	session := tls.Server(c, &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		// The peer is on this machine: small first records would only cost system calls, and
		// what is recorded here is not for a later decryption.
		DynamicRecordSizingDisabled: true,
		CurvePreferences:            []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384},
		// A resumed session asks for no certificate, and so would not be checked.
		SessionTicketsDisabled: true,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if refusal = checkHello(hello, c.target.Host); refusal != nil {
				return nil, refusal
			}
			return s.authority.Leaf(c.target.Host)
		},
	})
	switch err := session.HandshakeContext(ctx); {
	case refusal != nil:
		return nil, refusal
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrHandshake, err)
	}
	if session.ConnectionState().NegotiatedProtocol == "h2" {
		return session, nil
	}
	return newHeadConn(session), nil
}

// checkHello refuses a client hello that could be for another host than the one
// that was asked for. Names are ASCII and compared without case (RFC 6066,
// section 3); crypto/tls has refused a trailing dot already.
func checkHello(hello *tls.ClientHelloInfo, host string) error {
	for _, extension := range hello.Extensions {
		if extension == extensionECH {
			return ErrEncryptedSNI
		}
	}
	switch {
	case hello.ServerName == "":
		return ErrNoServerName
	case strings.ToLower(hello.ServerName) != host:
		return ErrServerName
	}
	return nil
}

// tunnelConn reads what was buffered before the rest of the connection.
type tunnelConn struct {
	net.Conn
	reader *bufio.Reader // nil once it is empty
	target Target
}

func (c *tunnelConn) Read(p []byte) (int, error) {
	if c.reader == nil {
		return c.Conn.Read(p)
	}
	if c.reader.Buffered() > 0 {
		return c.reader.Read(p)
	}
	c.reader = nil // a tunnel may be open for hours: let its buffer go
	return c.Conn.Read(p)
}

// listener hands the tunnels to the HTTP server.
type listener Server

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	(*Server)(l).closeOnce.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr { return &net.TCPAddr{} }
