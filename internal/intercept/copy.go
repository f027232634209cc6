package intercept

import (
	"errors"
	"io"
	"net/http"
	"sync"
)

var copyBuffers = sync.Pool{New: func() any { return new([large]byte) }}

// Copy is io.Copy for a connection that may be open for hours and wait most of the time:
// it has a small buffer, and a large one only while so much arrives.
func Copy(dst io.Writer, src io.Reader) (int64, error) {
	var total int64
	waiting := make([]byte, small)
	for {
		n, err := src.Read(waiting)
		total += int64(n)
		if n > 0 {
			if _, err := dst.Write(waiting[:n]); err != nil {
				return total, err
			}
		}
		if err == nil && n == len(waiting) {
			var more int64
			more, err = copyLarge(dst, src)
			total += more
		}
		switch {
		case errors.Is(err, io.EOF):
			return total, nil
		case err != nil:
			return total, err
		}
	}
}

// copyLarge copies with a large buffer until a small one would do.
func copyLarge(dst io.Writer, src io.Reader) (int64, error) {
	buf := copyBuffers.Get().(*[large]byte)
	defer copyBuffers.Put(buf)
	var total int64
	for {
		n, err := src.Read(buf[:])
		total += int64(n)
		if n > 0 {
			if _, err := dst.Write(buf[:n]); err != nil {
				return total, err
			}
		}
		if err != nil || n < small {
			return total, err
		}
	}
}

// Upgraded is the connection of a switched protocol. httputil.ReverseProxy copies it
// both ways with io.Copy, and so with Copy.
type Upgraded struct{ io.ReadWriteCloser }

// CloseWrite says to the other side that no more comes, where that can be said.
func CloseWrite(conn any) error {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return http.ErrNotSupported
}

// CloseWrite is what httputil.ReverseProxy calls at the end of one way.
func (u Upgraded) CloseWrite() error { return CloseWrite(u.ReadWriteCloser) }

// WriteTo implements io.WriterTo.
func (u Upgraded) WriteTo(w io.Writer) (int64, error) { return Copy(w, u.ReadWriteCloser) }

// ReadFrom implements io.ReaderFrom.
func (u Upgraded) ReadFrom(r io.Reader) (int64, error) { return Copy(u.ReadWriteCloser, r) }
