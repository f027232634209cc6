package audit

import (
	"bytes"
	"encoding/json"
	"io"
	"iter"
	"time"
)

// Merged is a line of one of several audit files, or what is wrong with that file.
type Merged struct {
	File int // its place in the arguments of Merge
	Line []byte
	Err  error // as Lines gives it
}

// Merge yields the lines of several audit files by their member time, which every
// record has to have; the lines of one file stay in order whatever their times. It goes
// on with the other files when one is wrong. A yielded line is valid until the next.
func Merge(files ...io.Reader) iter.Seq[Merged] {
	return func(yield func(Merged) bool) {
		heads := make([]*head, 0, len(files))
		for i, file := range files {
			next, stop := iter.Pull2(Lines(file))
			defer stop()
			h := &head{Merged: Merged{File: i}, pull: next}
			if h.advance() {
				heads = append(heads, h)
			}
		}
		for len(heads) > 0 {
			first := 0
			for i, h := range heads {
				if h.time.Before(heads[first].time) {
					first = i
				}
			}
			h := heads[first]
			if !yield(h.Merged) {
				return
			}
			if h.Err != nil || !h.advance() {
				heads = append(heads[:first], heads[first+1:]...)
			}
		}
	}
}

// head is the next line of a file.
type head struct {
	Merged
	time time.Time
	pull func() ([]byte, error, bool)
}

// advance goes to the file's next line, and tells whether there is one.
func (h *head) advance() bool {
	line, err, ok := h.pull()
	if !ok {
		return false
	}
	h.Line, h.Err = bytes.Clone(line), err
	var stamp struct{ Time time.Time }
	if err == nil && json.Unmarshal(line, &stamp) == nil {
		h.time = stamp.Time
	}
	return true
}
