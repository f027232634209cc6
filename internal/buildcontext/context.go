// Package buildcontext reads a host directory for an image build: what the
// directory's ignore file leaves, without following a link and without leaving
// the directory, however its content changes meanwhile.
package buildcontext

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// maxIgnoreFile bounds an ignore file, in bytes.
const maxIgnoreFile = 1 << 20

// Context is one opened directory.
type Context struct {
	root    *os.Root
	matcher *patternmatcher.PatternMatcher
	ignore  string
}

// Open opens dir and reads its .containerignore or, if there is none, its
// .dockerignore. within, if not empty, is a directory that dir lies in and that
// no link on the way to it may leave.
func Open(dir, within string) (*Context, error) {
	root, err := openWithin(dir, within)
	if err != nil {
		return nil, fmt.Errorf("build context %s: %w", dir, err)
	}
	c := &Context{root: root}
	if err := c.readIgnoreFile(); err != nil {
		return nil, errors.Join(fmt.Errorf("build context %s: %w", dir, err), root.Close())
	}
	return c, nil
}

func openWithin(dir, within string) (*os.Root, error) {
	if within == "" {
		return os.OpenRoot(dir)
	}
	outer, err := os.OpenRoot(within)
	if err != nil {
		return nil, err
	}
	defer outer.Close()
	rel := strings.TrimPrefix(strings.TrimPrefix(dir, within), "/")
	if rel == "" {
		rel = "."
	}
	return outer.OpenRoot(rel)
}

// Close releases the directory.
func (c *Context) Close() error { return c.root.Close() }

// IgnoreFile is the name of the ignore file that counts, or empty.
func (c *Context) IgnoreFile() string { return c.ignore }

func (c *Context) readIgnoreFile() error {
	for _, name := range []string{".containerignore", ".dockerignore"} {
		text, err := c.readSmall(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		patterns, err := ignorefile.ReadAll(bytes.NewReader(text))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		c.ignore = name
		c.matcher, err = patternmatcher.New(patterns)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	}
	return nil
}

// readSmall reads a file of at most maxIgnoreFile bytes; a pipe of that name does not hang.
func (c *Context) readSmall(name string) ([]byte, error) {
	f, err := c.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxIgnoreFile {
		return nil, fmt.Errorf("%s is no file of at most %d KiB", name, maxIgnoreFile>>10)
	}
	return io.ReadAll(io.LimitReader(f, maxIgnoreFile))
}

// entry is one file, directory or link that is taken.
type entry struct {
	path   string // with slashes, relative to the directory
	info   fs.FileInfo
	target string // of a link
}

// walk calls visit for everything that is taken, parents first. Links that lead
// out of the directory, and what is neither file, directory nor link, are given
// to leaveOut instead.
func (c *Context) walk(visit func(entry) error, leaveOut func(path string)) error {
	results := map[string]patternmatcher.MatchInfo{}
	return fs.WalkDir(c.root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name == "." {
			return nil
		}
		ignored, err := c.ignored(name, results)
		if err != nil {
			return err
		}
		if ignored {
			if d.IsDir() && !c.matcher.Exclusions() {
				return fs.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		e := entry{path: name, info: info}
		switch mode := info.Mode(); {
		case mode.IsRegular(), mode.IsDir():
			return visit(e)
		case mode&fs.ModeSymlink != 0:
			if e.target, err = c.root.Readlink(name); err != nil {
				return err
			}
			if !leaves(name, e.target) {
				return visit(e)
			}
		}
		leaveOut(name)
		return nil
	})
}

// ignored asks the ignore file. The results of directories are kept, since what
// is below them depends on them.
func (c *Context) ignored(name string, results map[string]patternmatcher.MatchInfo) (bool, error) {
	if c.matcher == nil {
		return false, nil
	}
	ignored, info, err := c.matcher.MatchesUsingParentResults(name, results[path.Dir(name)])
	if err != nil {
		return false, fmt.Errorf("%s: %w", c.ignore, err)
	}
	results[name] = info
	return ignored, nil
}

// leaves reports whether a link points out of the directory, by its text.
func leaves(name, target string) bool {
	if path.IsAbs(target) {
		return true
	}
	to := path.Join(path.Dir(name), target)
	return to == ".." || strings.HasPrefix(to, "../")
}
