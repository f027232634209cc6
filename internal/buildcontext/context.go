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

	"github.com/podbottle/podbottle/internal/archive"
	"github.com/podbottle/podbottle/internal/breakage"
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

// whiteout begins names that mean the absence of a file in an image's layer (OCI image
// specification, layer.md, Whiteouts). A file of such a name gets lost or takes another
// with it, and one of the name .wh... keeps the layer from being made.
const whiteout = ".wh."

// tree is the directory without what the ignore file names, and without what no image
// can hold.
func (c *Context) tree() archive.Tree {
	t := archive.Tree{Root: c.root, Reserved: whiteout}
	if breakage.Has("whiteout") {
		t.Reserved = ""
	}
	if c.matcher != nil {
		results := map[string]patternmatcher.MatchInfo{}
		t.Ignore = func(name string) (bool, bool, error) {
			ignored, err := c.ignored(name, results)
			return ignored, !c.matcher.Exclusions(), err
		}
	}
	return t
}

// ignored asks the ignore file. The results of directories are kept, since what
// is below them depends on them.
func (c *Context) ignored(name string, results map[string]patternmatcher.MatchInfo) (bool, error) {
	ignored, info, err := c.matcher.MatchesUsingParentResults(name, results[path.Dir(name)])
	if err != nil {
		return false, fmt.Errorf("%s: %w", c.ignore, err)
	}
	results[name] = info
	return ignored, nil
}
