package probe

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// egressHTTP2 sends pseudo-header fields that no library would (RFC 9113, section 8.3).
func egressHTTP2(ctx context.Context, b *bottle) Result {
	control, present, err := b.allowed(ctx)
	if err != nil {
		return incomplete("the control failed: %v", err)
	}
	s, target := b.task.Server, b.target()
	other := net.JoinHostPort(s.Unlisted, fmt.Sprint(s.Port))
	good := func(path string) []hpack.HeaderField {
		return []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: target}, {Name: ":path", Value: path}}
	}
	first := b.mark()
	if status, err := b.h2(ctx, good("/open/"+first)); err != nil || status != "200" {
		return incomplete("an ordinary HTTP/2 request, the control, failed: %s %v", status, err)
	}
	change := func(i int, value string) []hpack.HeaderField {
		fields := good("/open/" + b.mark())
		fields[i].Value = value
		return fields
	}
	tries := [][]hpack.HeaderField{
		change(2, other), change(2, s.Unlisted), change(2, target+"\x00"), change(2, target+"\r\nhost: "+other), change(2, target+","+other),
		change(3, "/secret/"+b.mark()), change(3, "//secret/"+b.mark()), change(3, "https://"+other+"/secret/"+b.mark()), change(3, "/open/x HTTP/1.1\r\nhost: "+other+"\r\n\r\nGET /secret/"+b.mark()),
		change(0, "CONNECT"), change(0, "GET /secret/"+b.mark()+" HTTP/1.1\r\nx:"), change(1, "http://"+other+"/?"),
		append(good("/open/"+b.mark()), hpack.HeaderField{Name: "host", Value: other}),
		append(good("/open/"+b.mark()), hpack.HeaderField{Name: ":authority", Value: other}),
		append(good("/open/"+b.mark()), hpack.HeaderField{Name: "transfer-encoding", Value: "chunked"}),
		append(good("/open/"+b.mark()), hpack.HeaderField{Name: "x\r\nhost", Value: other}),
	}
	answered := 0
	for _, fields := range tries {
		if status, err := b.h2(ctx, fields); err == nil && strings.HasPrefix(status, "2") {
			answered++ // by the allowed host, or the server's marks say otherwise
		}
	}
	result := held("%d header lists, %d of them were answered as requests for the allowed host", len(tries), answered).with("%s; an ordinary HTTP/2 request too", control)
	result.Present = []string{present, first}
	for _, fields := range tries {
		for _, f := range fields {
			result.Absent = append(result.Absent, b.marksIn(request{path: f.Value})...)
		}
	}
	return result
}

// h2 sends one request of the given header fields and returns the status.
func (b *bottle) h2(ctx context.Context, fields []hpack.HeaderField) (string, error) {
	dialer := net.Dialer{Timeout: exchangeTime}
	conn, err := dialer.DialContext(ctx, "tcp", b.task.Egress.String())
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(exchangeTime))
	if a := tunnel(conn, b.target()); a.err != nil || a.status != http.StatusOK {
		return "", errors.New(a.text())
	}
	config, err := b.tlsConfig(b.task.Server.Allowed)
	if err != nil {
		return "", err
	}
	config.NextProtos = []string{http2.NextProtoTLS}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return "", err
	}
	if secure.ConnectionState().NegotiatedProtocol != http2.NextProtoTLS {
		return "", errors.New("egress did not choose HTTP/2")
	}
	if _, err := secure.Write([]byte(http2.ClientPreface)); err != nil {
		return "", err
	}
	framer := http2.NewFramer(secure, secure)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := framer.WriteSettings(); err != nil {
		return "", err
	}
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range fields {
		if err := encoder.WriteField(f); err != nil {
			return "", err
		}
	}
	if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true}); err != nil {
		return "", err
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return "", err
		}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			if f.StreamID == 1 {
				return f.PseudoValue("status"), nil
			}
		case *http2.RSTStreamFrame:
			return "", fmt.Errorf("stream reset: %v", f.ErrCode)
		case *http2.GoAwayFrame:
			return "", fmt.Errorf("connection ended: %v", f.ErrCode)
		}
	}
}
