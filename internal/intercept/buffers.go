package intercept

import (
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	large  = 64 << 10 // several frames of HTTP/2 are then written at once
	medium = 16 << 10 // what one TLS record holds
	small  = 2 << 10

	manyLarge  = 16
	manyMedium = 64
)

// Buffers lends what bodies are copied with. A buffer is held as long as its response is
// open, so a response that waits most of the time gets a small one.
type Buffers struct {
	large, medium, small sync.Pool
	out                  atomic.Int64 // buffers that are not small
}

// Fit returns a proxy for one request, with a buffer that fits its response.
func (b *Buffers) Fit(proxy *httputil.ReverseProxy) *httputil.ReverseProxy {
	fitted, l := *proxy, &loan{buffers: b}
	fitted.BufferPool = l
	fitted.ModifyResponse = func(res *http.Response) error {
		l.res = res
		if proxy.ModifyResponse == nil {
			return nil
		}
		return proxy.ModifyResponse(res)
	}
	return &fitted
}

// loan is the buffer of one response.
type loan struct {
	buffers *Buffers
	res     *http.Response
}

// Get implements httputil.BufferPool.
func (l *loan) Get() []byte {
	b := l.buffers
	if IsEventStream(l.res.Header) {
		return take(&b.small, small)
	}
	switch out := b.out.Add(1); {
	case out > manyMedium && l.res.ContentLength < 0: // so many must be something like event streams
		b.out.Add(-1)
		return take(&b.small, small)
	case out > manyLarge:
		return take(&b.medium, medium)
	default:
		return take(&b.large, large)
	}
}

func take(pool *sync.Pool, size int) []byte {
	if buf, ok := pool.Get().(*[]byte); ok {
		return *buf
	}
	return make([]byte, size)
}

// Put implements httputil.BufferPool.
func (l *loan) Put(buf []byte) {
	b := l.buffers
	switch len(buf) {
	case small:
		b.small.Put(&buf)
		return
	case medium:
		b.medium.Put(&buf)
	default:
		b.large.Put(&buf)
	}
	b.out.Add(-1)
}

// IsEventStream reports whether a response is one of server-sent events.
func IsEventStream(header http.Header) bool {
	return strings.HasPrefix(header.Get("Content-Type"), "text/event-stream")
}
