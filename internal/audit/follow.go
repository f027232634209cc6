package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/fsnotify/fsnotify"
)

// Follow calls yield with every line of the file, those that are there and those
// that come, until ctx ends or yield returns an error. Lines are checked as Lines does.
// The file need not exist yet.
func Follow(ctx context.Context, path string, yield func(line []byte) error) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("following %s: %w", path, err)
	}
	defer watcher.Close()
	if err := watcher.Add(filepath.Dir(path)); err != nil {
		return fmt.Errorf("following %s: %w", path, err)
	}
	f := follower{path: path, checker: checker{prev: first}, yield: yield}
	defer f.close()
	for {
		if err := f.drain(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-watcher.Errors:
			if !errors.Is(err, fsnotify.ErrEventOverflow) { // an overflow only means: look again
				return fmt.Errorf("following %s: %w", path, err)
			}
		case <-watcher.Events:
		}
	}
}

// follower reads what was added to a file since it last looked.
type follower struct {
	path    string
	file    *os.File
	pending []byte
	checker checker
	yield   func([]byte) error
}

func (f *follower) drain() error {
	if f.file == nil {
		file, err := OpenFile(f.path)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		f.file = file
	}
	buf := make([]byte, maxLine)
	for {
		n, err := f.file.Read(buf)
		f.pending = append(f.pending, buf[:n]...)
		if lineErr := f.lines(); lineErr != nil {
			return lineErr
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (f *follower) lines() error {
	for {
		line, rest, ok := bytes.Cut(f.pending, []byte("\n"))
		if !ok {
			if len(f.pending) > maxLine {
				return &BreakError{f.checker.seq + 1, "the line is too long"}
			}
			return nil
		}
		if err := f.checker.check(line); err != nil {
			return err
		}
		if err := f.yield(line); err != nil {
			return err
		}
		f.pending = rest
	}
}

func (f *follower) close() {
	if f.file != nil {
		_ = f.file.Close()
	}
}
