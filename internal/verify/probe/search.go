package probe

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
)

// skipped are trees that hold no files of their own.
var skipped = map[string]bool{"/proc": true, "/sys": true, "/dev": true}

// largest is how much of one file is searched.
const largest = 64 << 20

// hide writes the text to a file in a directory of its own and returns the file's path.
func hide(text string) (string, error) {
	dir, err := scratch()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "hidden")
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// scratch makes a directory wherever this user may write.
func scratch() (string, error) {
	var problems []error
	for _, parent := range []string{os.Getenv("HOME"), "/tmp", "/var/tmp", "/dev/shm"} {
		dir, err := os.MkdirTemp(parent, "probe")
		if err == nil {
			return dir, nil
		}
		problems = append(problems, err)
	}
	return "", errors.Join(problems...)
}

// contains returns the first of the texts that the file holds.
func contains(path string, texts []string) (string, error) {
	file, err := os.Open(path) // #nosec G304 -- every file is looked at
	if err != nil {
		return "", err
	}
	defer file.Close()
	return Search(io.LimitReader(file, largest), texts)
}

// Search reads to the end, or to the first of the texts, and returns that; empty for none.
func Search(r io.Reader, texts []string) (string, error) {
	const block = 256 << 10
	longest := 0
	for _, text := range texts {
		longest = max(longest, len(text))
	}
	buffer := make([]byte, 0, block+longest)
	for {
		n, err := r.Read(buffer[len(buffer):cap(buffer)])
		buffer = buffer[:len(buffer)+n]
		for _, text := range texts {
			if bytes.Contains(buffer, []byte(text)) {
				return text, nil
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return "", nil
		case err != nil:
			return "", err
		}
		// A text may lie across the edge of two blocks.
		keep := min(longest, len(buffer))
		copy(buffer, buffer[len(buffer)-keep:])
		buffer = buffer[:keep]
	}
}
