package firewall

import (
	"io"
	"net"
	"sync/atomic"
	"time"
)

// idleWatch closes a piped tunnel in which nothing moves.
type idleWatch struct {
	client, upstream net.Conn
	idle             time.Duration
	timer            *time.Timer
	touched          atomic.Int64
}

// expire runs when the timer fires: it closes both sides, or waits for the rest
// of the time if something moved meanwhile.
func (w *idleWatch) expire() {
	quiet := time.Since(time.Unix(0, w.touched.Load()))
	if quiet < w.idle {
		w.timer.Reset(w.idle - quiet)
		return
	}
	_ = w.client.Close()
	_ = w.upstream.Close()
}

// reader notes when src yields bytes.
func (w *idleWatch) reader(src io.Reader) io.Reader { return watchedReader{src, w} }

type watchedReader struct {
	io.Reader
	watch *idleWatch
}

func (r watchedReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.watch.touched.Store(time.Now().UnixNano())
	return n, err
}
