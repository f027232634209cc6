package proxy

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/podbottle/podbottle/internal/intercept"
	"github.com/podbottle/podbottle/internal/leak"
)

// maxZstdWindow bounds the memory that one zstd response may take (RFC 9659).
const maxZstdWindow = 8 << 20

// errEncoding is a response whose body cannot be searched.
var errEncoding = errors.New("the response is encoded in a way that cannot be searched for the token")

// readable are the content codings that a masked response may come in.
var readable = []string{"gzip", "br", "zstd"}

// limitEncodings narrows what the client accepts to what can be searched: content
// codings, and the compression that WebSocket and gRPC do inside their messages.
// A part of a compressed body cannot be decoded, so a request for a range gets none.
func limitEncodings(header http.Header) {
	accepted := "identity"
	if header.Get("Range") == "" {
		if codings := intersect(header.Values("Accept-Encoding")); len(codings) > 0 {
			accepted = strings.Join(codings, ", ")
		}
	}
	header.Set("Accept-Encoding", accepted)
	header.Del("Sec-Websocket-Extensions")
	if header.Get("Grpc-Accept-Encoding") != "" {
		header.Set("Grpc-Accept-Encoding", "identity")
	}
}

// intersect keeps the readable codings that are not refused with a quality of zero.
func intersect(values []string) []string {
	var out []string
	for part := range strings.SplitSeq(strings.Join(values, ","), ",") {
		coding, params, _ := strings.Cut(part, ";")
		coding = strings.ToLower(strings.TrimSpace(coding))
		quality := strings.TrimPrefix(strings.ReplaceAll(params, " ", ""), "q=")
		if slices.Contains(readable, coding) && (quality == "" || strings.Trim(quality, "0.") != "") {
			out = append(out, coding)
		}
	}
	return out
}

// decode replaces a compressed body by its content. The response is then another
// representation: it has no length, no coding and at most a weak validator.
func decode(res *http.Response) error {
	coding := strings.ToLower(strings.TrimSpace(strings.Join(res.Header.Values("Content-Encoding"), ",")))
	if coding == "" || coding == "identity" {
		return nil
	}
	if res.StatusCode == http.StatusPartialContent {
		return errEncoding
	}
	var open func(io.Reader) (io.Reader, error)
	switch coding {
	case "gzip", "x-gzip":
		open = func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }
	case "br":
		open = func(r io.Reader) (io.Reader, error) { return brotli.NewReader(r), nil }
	case "zstd":
		open = func(r io.Reader) (io.Reader, error) {
			return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxZstdWindow))
		}
	default:
		return errEncoding
	}
	res.Header.Del("Content-Encoding")
	res.Header.Del("Content-Length")
	if hasBody(res) {
		res.Body = &decodedBody{source: res.Body, open: open}
		res.ContentLength = -1
	}
	if tag := res.Header.Get("Etag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		res.Header.Set("Etag", "W/"+tag)
	}
	return nil
}

// hasBody reports whether a response is followed by content (RFC 9110, section 6.4.1).
func hasBody(res *http.Response) bool {
	return res.Request.Method != http.MethodHead && res.StatusCode != http.StatusNoContent &&
		res.StatusCode != http.StatusNotModified && res.ContentLength != 0
}

// decodedBody decompresses while it is read. The decoder is made at the first
// read, because it waits for the first bytes.
type decodedBody struct {
	source  io.ReadCloser
	open    func(io.Reader) (io.Reader, error)
	decoder io.Reader
}

func (b *decodedBody) Read(p []byte) (int, error) {
	if b.decoder == nil {
		decoder, err := b.open(b.source)
		if err != nil {
			return 0, fmt.Errorf("compressed response: %w", err)
		}
		b.decoder = decoder
	}
	n, err := b.decoder.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("compressed response: %w", err)
	}
	return n, err
}

func (b *decodedBody) Close() error {
	if d, ok := b.decoder.(*zstd.Decoder); ok {
		d.Close()
	}
	return b.source.Close()
}

// maskedTrailer masks the trailers once a body is at its end, which is when they
// are known.
type maskedTrailer struct {
	io.ReadCloser
	res    *http.Response
	masker *leak.Matcher
}

func (b *maskedTrailer) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		maskHeader(b.res.Trailer, b.masker)
	}
	return n, err
}

// maskedUpgrade is the connection of a switched protocol: what comes from the
// upstream is masked, what goes to it is not.
type maskedUpgrade struct {
	*leak.Reader
	io.Writer
}

func (m maskedUpgrade) CloseWrite() error { return intercept.CloseWrite(m.Writer) }

// maskedHeader masks the header of informational responses (RFC 9110, section
// 15.2), which ReverseProxy passes on by itself.
type maskedHeader struct {
	http.ResponseWriter
	masker *leak.Matcher
}

// WriteHeader implements http.ResponseWriter. The header of an event stream goes out at
// once: its first event may be long in coming.
func (w *maskedHeader) WriteHeader(status int) {
	if status < http.StatusOK {
		maskHeader(w.Header(), w.masker)
	}
	w.ResponseWriter.WriteHeader(status)
	if status == http.StatusOK && intercept.IsEventStream(w.Header()) {
		_ = http.NewResponseController(w.ResponseWriter).Flush() // a client that is gone shows soon enough
	}
}

// Unwrap lets http.ResponseController find what it needs.
func (w *maskedHeader) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func maskHeader(header http.Header, masker *leak.Matcher) {
	if masker == nil {
		return
	}
	for name, values := range header {
		for i, value := range values {
			values[i] = masker.MaskString(value)
		}
		if masked := masker.MaskString(name); masked != name {
			delete(header, name)
		}
	}
}
