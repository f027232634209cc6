package firewall

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/podbottle/podbottle/internal/leak"
)

const (
	// wholeBody is the largest body that is scanned before its first byte leaves.
	wholeBody = 1 << 20
	// ruleBytes is how much of a longer body gitleaks' rules see: they read about a
	// megabyte a second. The bottle's own secrets are looked for in all of it.
	ruleBytes = 1 << 20
	// overlap is how much of what left already is scanned again with what follows, so
	// that rules find what is split.
	overlap = 4 << 10
	// maxDecoded bounds what a compressed body may become.
	maxDecoded = 16 << 20
)

// errCoding is a body that cannot be scanned because of its content coding.
var errCoding = errors.New("the request body is compressed in a way that cannot be scanned, or too large for it")

// body makes the body of a request scanned: a body of known length up to wholeBody
// now, any other while it is sent. A stream stays a stream: each piece goes on as
// soon as it was scanned, and the request is cut where a secret shows.
func (s *scanner) body(r *http.Request) error {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	coding := strings.ToLower(strings.Join(r.Header.Values("Content-Encoding"), ","))
	compressed := coding != "" && coding != "identity"
	whole := r.ContentLength > 0 && r.ContentLength <= wholeBody && r.Header.Get("Expect") == ""
	if !whole && !compressed {
		r.Body = s.stream(r.Body)
		return nil
	}
	if r.ContentLength > wholeBody {
		return errCoding
	}
	data, err := io.ReadAll(io.LimitReader(r.Body, wholeBody+1))
	if err != nil {
		return fmt.Errorf("request body: %w", err)
	}
	if len(data) > wholeBody {
		return errCoding
	}
	text := data
	if compressed {
		if s.holdsKnown(string(data)) { // where no decoder looks, such as behind the end
			return finding{ownSecret, "request body"}
		}
		if text, err = decompress(data, coding); err != nil {
			return err
		}
	}
	if err := s.whole(text); err != nil {
		return err
	}
	r.Body = &replayed{bytes.NewReader(data), r.Body}
	return nil
}

func (s *scanner) whole(text []byte) error {
	if s.holdsKnown(string(text)) {
		return finding{ownSecret, "request body"}
	}
	return s.byRules(string(text), "request body")
}

// decompress undoes a content coding, up to maxDecoded bytes.
func decompress(data []byte, coding string) ([]byte, error) {
	var reader io.Reader
	var err error
	source := bytes.NewReader(data)
	switch coding {
	case "gzip", "x-gzip":
		reader, err = gzip.NewReader(source)
	case "deflate":
		reader, err = zlib.NewReader(source)
	case "br":
		reader = brotli.NewReader(source)
	case "zstd":
		var decoder *zstd.Decoder
		if decoder, err = zstd.NewReader(source, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxDecoded)); err == nil {
			defer decoder.Close()
			reader = decoder
		}
	default:
		return nil, errCoding
	}
	if err != nil {
		return nil, errCoding
	}
	text, err := io.ReadAll(io.LimitReader(reader, maxDecoded+1))
	if err != nil || len(text) > maxDecoded {
		return nil, errCoding
	}
	return text, nil
}

// replayed is a body that was read before. Closing it closes the original.
type replayed struct {
	io.Reader
	io.Closer
}

// stream scans a body while it is read.
func (s *scanner) stream(body io.ReadCloser) io.ReadCloser {
	scanned := &scannedBody{source: body, scanner: s}
	if s.known != nil {
		scanned.masked = leak.NewReader(body, s.known)
		scanned.source = scanned.masked
	}
	return scanned
}

// scannedBody returns a finding instead of the piece that completes a secret.
type scannedBody struct {
	source  io.ReadCloser
	masked  *leak.Reader // what holds back the beginnings of known secrets; nil when there are none
	scanner *scanner
	seen    int // by the rules
	tail    []byte
	failed  error
}

func (b *scannedBody) Read(p []byte) (int, error) {
	if b.failed != nil {
		return 0, b.failed
	}
	n, err := b.source.Read(p)
	if b.masked != nil && b.masked.Masked > 0 {
		b.failed = finding{ownSecret, "request body"}
		return 0, b.failed
	}
	if n > 0 && b.seen < ruleBytes {
		if b.failed = b.byRules(p[:n]); b.failed != nil {
			return 0, b.failed
		}
	}
	return n, err
}

func (b *scannedBody) byRules(piece []byte) error {
	b.seen += len(piece)
	text := append(b.tail, piece...)
	err := b.scanner.byRules(string(text), "request body")
	b.tail = append([]byte(nil), text[max(0, len(text)-overlap):]...)
	return err
}

func (b *scannedBody) Close() error { return b.source.Close() }
