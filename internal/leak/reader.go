package leak

import (
	"io"
	"time"
)

// patience is how long what may begin a secret is held back while nothing follows
// it. A few letters begin one by chance; MinSecret of them do not, and are held
// for longer by the factor certain.
const (
	patience = 20 * time.Millisecond
	certain  = 50
)

// aheadSize is how much is read at once while something is held back.
const aheadSize = 4 << 10

// Reader reads from a stream and masks the secrets in it, also where one is split
// over several reads. Of a secret that stays incomplete at most the first half
// gets through.
//
// Only bytes that may begin a secret are held back, until what follows shows
// whether they do, or for patience: a message that ends with the first letter of a
// token must still arrive.
type Reader struct {
	source   io.ReadCloser
	matcher  *Matcher
	patience time.Duration
	// Masked counts the secrets that were found.
	Masked int

	ready  []byte // to be delivered
	held   []byte // the end of what was read, which may begin a secret
	of     int    // length of the secret that held may begin
	passed int    // how many bytes of held were delivered already
	ahead  chan ahead
	err    error // what source returned
}

// ahead is the outcome of a read that was begun before it was asked for.
type ahead struct {
	data []byte
	err  error
}

// NewReader returns a Reader of source. Closing it closes source.
func NewReader(source io.ReadCloser, matcher *Matcher) *Reader {
	return &Reader{source: source, matcher: matcher, patience: patience}
}

// Close closes the source.
func (r *Reader) Close() error { return r.source.Close() }

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		switch {
		case len(r.ready) > 0:
			n := copy(p, r.ready)
			r.ready = r.ready[n:]
			return n, nil
		case r.err != nil:
			return 0, r.err
		case len(r.held) == 0 && r.ahead == nil:
			if n, err := r.readInto(p); n > 0 || err != nil {
				return n, err
			}
		default:
			r.readAhead()
		}
	}
}

// readInto reads without holding anything from before: straight into the
// caller's buffer.
func (r *Reader) readInto(p []byte) (int, error) {
	n, err := r.source.Read(p)
	r.Masked += r.matcher.Mask(p[:n])
	have, of := r.matcher.Pending(p[:n])
	r.held, r.of, r.passed = append(r.held[:0], p[n-have:n]...), of, 0
	if err != nil {
		r.end(err)
	}
	return n - have, nil
}

// readAhead waits for what follows the bytes held back, or releases some of them.
func (r *Reader) readAhead() {
	if r.ahead == nil {
		r.ahead = make(chan ahead, 1)
		go func(done chan<- ahead) {
			buf := make([]byte, aheadSize)
			n, err := r.source.Read(buf)
			done <- ahead{buf[:n], err}
		}(r.ahead)
	}
	limit := min(len(r.held), r.of/2)
	var expired <-chan time.Time
	if r.passed < limit {
		wait := r.patience
		if len(r.held) >= MinSecret {
			wait *= certain
		}
		timer := time.NewTimer(wait)
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case next := <-r.ahead:
		r.ahead = nil
		r.join(next)
	case <-expired:
		r.ready = r.held[r.passed:limit:limit]
		r.passed = limit
	}
}

// join puts what was read behind what is held.
func (r *Reader) join(next ahead) {
	text := append(append(make([]byte, 0, len(r.held)+len(next.data)), r.held...), next.data...)
	r.Masked += r.matcher.Mask(text)
	have, of := r.matcher.Pending(text)
	done := text[:len(text)-have]
	skip := min(r.passed, len(done))
	r.ready = done[skip:]
	r.held, r.of, r.passed = text[len(text)-have:], of, r.passed-skip
	if next.err != nil {
		r.end(next.err)
	}
}

// end releases what is still held when nothing follows, but never more than half
// of a secret.
func (r *Reader) end(err error) {
	r.err = err
	if limit := max(r.of/2, r.passed); len(r.held) > limit {
		r.Masked++
		overwrite(r.held[limit:])
	}
	r.ready = append(r.ready[:len(r.ready):len(r.ready)], r.held[r.passed:]...)
	r.held, r.of, r.passed = nil, 0, 0
}
