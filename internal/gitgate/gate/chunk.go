package gate

import (
	"bytes"
	"errors"
	"io"
)

const (
	// chunkSize is how much text the detector sees at once: a file may be larger than memory.
	chunkSize = 96 << 10
	// chunkOverlap is how much of it the next chunk repeats at the least, so that what lies
	// across the border is whole in one of them. The longest keys in PEM are shorter.
	chunkOverlap = 16 << 10
)

// eachChunk cuts a text into pieces that overlap and calls yield with each and the
// number of its first line, from 1. A piece begins at a line where it can.
func eachChunk(r io.Reader, yield func(text string, firstLine int) error) error {
	buf := make([]byte, 0, chunkSize+chunkOverlap)
	line := 1
	for {
		n, err := io.ReadFull(r, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		end := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !end {
			return err
		}
		// A read of nothing after the first piece means that all of it was seen.
		if n > 0 || line == 1 {
			if err := yield(string(buf), line); err != nil {
				return err
			}
		}
		if end {
			return nil
		}
		cut := len(buf) - chunkOverlap
		if newline := bytes.LastIndexByte(buf[cut-chunkOverlap:cut], '\n'); newline >= 0 {
			cut += newline + 1 - chunkOverlap
		}
		line += bytes.Count(buf[:cut], []byte("\n"))
		buf = buf[:copy(buf, buf[cut:])]
	}
}
