package intercept

import (
	"errors"
	"io"
	"net/http"
)

// CarryTrailers makes the outgoing copy of a request send the trailers of the
// incoming one, but for those in drop. httputil.ReverseProxy copies the trailers of
// responses only.
func CarryTrailers(out, in *http.Request, drop []string) {
	if out.Body == nil || len(out.Trailer) == 0 {
		return
	}
	out.Body = &trailingBody{out.Body, out, in, drop}
}

// trailingBody fills in the values when the body has been read, which is when they
// are known and before they are sent.
type trailingBody struct {
	io.ReadCloser
	out, in *http.Request
	drop    []string
}

func (b *trailingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		for name := range b.out.Trailer {
			b.out.Trailer[name] = b.in.Trailer[name]
		}
		for _, name := range b.drop {
			b.out.Trailer.Del(name)
		}
	}
	return n, err
}
