package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// ErrLocked is returned when another process writes the file.
var ErrLocked = errors.New("another process writes this audit file")

// Writer appends to one audit file. It may be used by several goroutines; a
// second Writer for the same file is refused.
type Writer struct {
	mu   sync.Mutex
	file *os.File
	end  checker
	// Torn is how many bytes of an incomplete last line were cut off when the file was
	// opened: what a writer that was killed, or a full disk, left behind.
	Torn int64
}

// Open opens a file to append to, and creates it with mode 0644: a sidecar writes
// it as another uid than the user who reads it, so it is the directory above that
// must be closed to others. It reads the file once, to find the end of the chain; a broken chain is an error, because to
// go on after it would hide the break.
func Open(path string) (*Writer, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("audit file: %w", err)
	}
	w := &Writer{file: file, end: checker{prev: first}}
	if err := w.resume(); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("audit file %s: %w", path, err)
	}
	return w, nil
}

func (w *Writer) resume() error {
	switch err := unix.Flock(int(w.file.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		return ErrLocked
	case err != nil:
		return err
	}
	size, err := w.cutTorn()
	if err != nil {
		return err
	}
	for line, err := range Lines(io.NewSectionReader(w.file, 0, size)) {
		if err != nil {
			return err
		}
		w.end = checker{seq: w.end.seq + 1, prev: hashOf(line)}
	}
	return nil
}

// cutTorn removes what follows the last newline and returns the file's size then.
func (w *Writer) cutTorn() (int64, error) {
	info, err := w.file.Stat()
	if err != nil {
		return 0, err
	}
	size := info.Size()
	tail := make([]byte, min(size, maxLine))
	if _, err := w.file.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	torn := int64(len(tail) - 1 - bytes.LastIndexByte(tail, '\n'))
	if torn == 0 {
		return size, nil
	}
	if torn == int64(len(tail)) && size > torn {
		return 0, errors.New("its last line is too long to be one of ours")
	}
	w.Torn = torn
	return size - torn, w.file.Truncate(size - torn)
}

// Append writes one record, a value whose JSON form is an object, and returns the
// number of its line. The line is with the kernel when Append returns. After an error the chain is as before: a line
// of which only a part could be written is taken back.
func (w *Writer) Append(record any) (seq int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	line, err := encode(Link{w.end.seq + 1, w.end.prev}, record)
	if err != nil {
		return 0, err
	}
	if n, err := w.file.Write(append(line, '\n')); err != nil {
		if n > 0 {
			err = errors.Join(err, w.takeBack(int64(n)))
		}
		return 0, fmt.Errorf("audit file: %w", err)
	}
	w.end = checker{seq: w.end.seq + 1, prev: hashOf(line)}
	return w.end.seq, nil
}

func (w *Writer) takeBack(n int64) error {
	info, err := w.file.Stat()
	if err != nil {
		return err
	}
	return w.file.Truncate(info.Size() - n)
}

// Close flushes the file to its disk and closes it.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return errors.Join(w.file.Sync(), w.file.Close())
}
