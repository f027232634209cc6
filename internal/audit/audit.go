// Package audit keeps append-only files of records in which a change shows. Every
// line is one JSON object that begins with its number and with the SHA-256 of the
// line before, so that a line which was edited, removed or put in between breaks
// the chain at that place. Lines cut off at the end leave a shorter valid chain:
// that shows only against another copy, such as the sidecar's log.
package audit

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLine bounds one record, newline included.
const maxLine = 64 << 10

// Link is what every line begins with.
type Link struct {
	// Seq numbers the lines from 1.
	Seq int `json:"seq"`
	// Prev is the hexadecimal SHA-256 of the line before, without its newline; for
	// the first line it is all zeros.
	Prev string `json:"prev"`
}

// first is the Prev of line 1.
var first = hex.EncodeToString(make([]byte, sha256.Size))

func hashOf(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:])
}

// encode returns the line for a record, without newline.
func encode(link Link, record any) ([]byte, error) {
	body, err := json.Marshal(record)
	if err != nil {
		return nil, fmt.Errorf("audit record: %w", err)
	}
	if len(body) < 2 || body[0] != '{' {
		return nil, errors.New("audit record: it is no JSON object")
	}
	head, err := json.Marshal(link)
	if err != nil {
		return nil, fmt.Errorf("audit record: %w", err)
	}
	line := head[:len(head)-1]
	if len(body) > 2 {
		line = append(line, ',')
	}
	line = append(line, body[1:]...)
	if len(line) >= maxLine {
		return nil, fmt.Errorf("audit record: it is longer than %d bytes", maxLine)
	}
	return line, nil
}

// Cut shortens a text so that its JSON has at most size bytes besides the quotes; what is
// cut ends with "…". A record with a text of somebody else's that is not cut may be too
// long to be written.
func Cut(s string, size int) string {
	s = strings.ToValidUTF8(s, "\ufffd")
	n, end := 0, 0 // of the JSON; where s would be cut
	for i, r := range s {
		if n <= size-len("…") {
			end = i
		}
		text, _ := json.Marshal(string(r)) // a string
		if n += len(text) - len(`""`); n > size {
			return s[:end] + "…"
		}
	}
	return s
}

// OpenFile opens an audit file to read it. A sidecar may have put anything in its
// place: no link is followed, and nothing but a regular file is opened.
func OpenFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("audit file: %w", err)
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("audit file %s: it is not a regular file", path)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// BreakError says where a file's chain breaks.
type BreakError struct {
	Line int // counted from 1
	Why  string
}

func (e *BreakError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Why) }

// Lines yields the lines of an audit file in order, without newline, each checked
// against the one before. It ends with a *BreakError at the first line that does
// not fit, or with the error of the reader. A yielded line is valid until the next.
func Lines(r io.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		c := checker{prev: first}
		reader := bufio.NewReaderSize(r, maxLine)
		for {
			line, err := reader.ReadSlice('\n')
			switch {
			case errors.Is(err, io.EOF) && len(line) == 0:
				return
			case errors.Is(err, io.EOF):
				yield(nil, &BreakError{c.seq + 1, "the line is incomplete: its writer was stopped in the middle, or it was cut"})
				return
			case errors.Is(err, bufio.ErrBufferFull):
				yield(nil, &BreakError{c.seq + 1, "the line is too long"})
				return
			case err != nil:
				yield(nil, err)
				return
			}
			line = bytes.TrimSuffix(line, []byte("\n"))
			if err := c.check(line); err != nil {
				yield(nil, err)
				return
			}
			if !yield(line, nil) {
				return
			}
		}
	}
}

// Verify reads a whole file and returns how many lines its chain has. The error is
// a *BreakError where it breaks.
func Verify(r io.Reader) (int, error) {
	n := 0
	for _, err := range Lines(r) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// checker knows the end of the chain so far.
type checker struct {
	seq  int
	prev string
}

func (c *checker) check(line []byte) error {
	var link Link
	if err := json.Unmarshal(line, &link); err != nil {
		return &BreakError{c.seq + 1, "the line is no JSON object"}
	}
	if link.Seq != c.seq+1 {
		return &BreakError{c.seq + 1, fmt.Sprintf("the line says it is number %d", link.Seq)}
	}
	if link.Prev != c.prev {
		return &BreakError{c.seq + 1, "the line does not follow from the one before: one of the two was changed"}
	}
	c.seq, c.prev = link.Seq, hashOf(line)
	return nil
}
