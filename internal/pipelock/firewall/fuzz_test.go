package firewall

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/podbottle/podbottle/internal/pipelock"
	"github.com/podbottle/podbottle/internal/secret"
)

// compressors by content coding.
var compressors = map[string]func(io.Writer) (io.WriteCloser, error){
	"gzip":    func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil },
	"deflate": func(w io.Writer) (io.WriteCloser, error) { return zlib.NewWriter(w), nil },
	"br":      func(w io.Writer) (io.WriteCloser, error) { return brotli.NewWriter(w), nil },
	"zstd":    func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1)) },
}

// FuzzBody sends a body with a secret of the bottle, behind it, or without: the secret
// does not get out whole as it is or in a coding that its receiver would undo, and what
// has none goes out as it is.
func FuzzBody(f *testing.F) {
	f.Add([]byte("begin "), []byte(" end"), "", "", "", byte(1), true)
	f.Add([]byte{}, []byte{}, "gzip", "", "gzip", byte(1), false)
	f.Add([]byte("x"), []byte("x"), "identity", "gzip", "gzip", byte(1), true)
	f.Add([]byte("x"), []byte("x"), "ZSTD", "", "zstd", byte(1), true)
	f.Add([]byte("x"), []byte("x"), "Identity", "", "", byte(0), false)
	f.Add([]byte("x"), []byte("x"), "deflate", "", "deflate", byte(2), true)
	f.Add([]byte("x"), []byte("x"), "br", "", "br", byte(2), true)
	s := newScanner(pipelock.RequestBodyScanning{Enabled: true}, []secret.Value{secret.New(ownToken)})
	f.Fuzz(func(t *testing.T, before, after []byte, said, also, coding string, where byte, long bool) {
		text, behind := slices.Concat(before, after, []byte("\n")), "" // so that no secret is left incomplete
		planted := where == 1
		switch where {
		case 1:
			text = slices.Concat(before, []byte(ownToken), after, []byte("\n"))
		case 2:
			behind = ownToken + "\n"
		}
		sent := text
		if compress := compressors[coding]; compress != nil {
			var out bytes.Buffer
			z, err := compress(&out)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = z.Write(text)
			_ = z.Close()
			sent = out.Bytes()
		} else {
			coding = ""
		}
		sent = append(sent, behind...)
		r, err := http.NewRequest(http.MethodPost, "https://a.example.org/", bytes.NewReader(sent))
		if err != nil {
			t.Fatal(err)
		}
		if long {
			r.ContentLength = -1
		}
		for _, value := range []string{said, also} {
			if value != "" {
				r.Header.Add("Content-Encoding", strings.TrimSpace(value)) // as HTTP reads it
			}
		}
		if s.body(r) != nil {
			return // refused
		}
		got, err := io.ReadAll(r.Body)
		if err == nil && !bytes.Equal(got, sent) {
			t.Errorf("%q is sent as %q", sent, got)
		}
		if bytes.Contains(got, []byte(ownToken)) || planted && err == nil && codings(r.Header) == coding {
			t.Errorf("the secret is sent in %q: %q", coding, got)
		}
	})
}

// codings are those that a receiver undoes, in their order.
func codings(header http.Header) string {
	var all []string
	for coding := range strings.SplitSeq(strings.Join(header.Values("Content-Encoding"), ","), ",") {
		if coding = strings.ToLower(strings.TrimSpace(coding)); coding != "" && coding != "identity" {
			all = append(all, coding)
		}
	}
	return strings.Join(all, ",")
}
