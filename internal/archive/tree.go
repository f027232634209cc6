// Package archive moves directory trees as tar archives between people who do not
// trust each other: reading a tree follows no link and leaves it nowhere, and
// writing one puts nothing outside of its target, whatever the archive says.
package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
)

// owner is the uid and gid that everything has in an archive: the agent's.
const owner = 1000

// Tree is a directory that is read.
type Tree struct {
	Root *os.Root
	// Ignore says whether a name is left out, and for a directory whether all below it
	// is, too; nil takes everything.
	Ignore func(name string) (ignored, below bool, err error)
	// Reserved begins names that cannot go along, and are given to leaveOut; empty for none.
	Reserved string
}

// Entry is one file, directory or link that is taken.
type Entry struct {
	Path   string // with slashes, relative to the tree
	Info   fs.FileInfo
	Target string // of a link
}

// Walk calls visit for everything that is taken, parents first. What is removed
// meanwhile is not there. Links that lead out of the tree, reserved names, and what
// is neither file, directory nor link, are given to leaveOut instead.
func (t Tree) Walk(visit func(Entry) error, leaveOut func(path string)) error {
	return t.walk(".", visit, leaveOut)
}

// walk is Walk for a directory. io/fs would stop at one whose name is no UTF-8.
func (t Tree) walk(dir string, visit func(Entry) error, leaveOut func(path string)) error {
	names, err := t.list(dir)
	if err != nil {
		return err
	}
	for _, base := range names {
		name := path.Join(dir, base)
		info, err := t.Root.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed since it was listed
		}
		if err != nil {
			return err
		}
		ignored, below := false, false
		if t.Ignore != nil {
			if ignored, below, err = t.Ignore(name); err != nil {
				return err
			}
		}
		switch {
		case ignored:
		case t.Reserved != "" && strings.HasPrefix(base, t.Reserved):
			leaveOut(name)
			below = true
		default:
			if err := t.take(name, info, visit, leaveOut); err != nil {
				return err
			}
		}
		if info.IsDir() && !below {
			if err := t.walk(name, visit, leaveOut); err != nil {
				return err
			}
		}
	}
	return nil
}

// take gives one file, directory or link to visit, and anything else to leaveOut.
func (t Tree) take(name string, info fs.FileInfo, visit func(Entry) error, leaveOut func(path string)) (err error) {
	e := Entry{Path: name, Info: info}
	switch mode := info.Mode(); {
	case mode.IsRegular(), mode.IsDir():
		return visit(e)
	case mode&fs.ModeSymlink != 0:
		if e.Target, err = t.Root.Readlink(name); err != nil {
			return err
		}
		if staysInside(name, e.Target) {
			return visit(e)
		}
	}
	leaveOut(name)
	return nil
}

// list returns the names in a directory, sorted; none when it is gone.
func (t Tree) list(dir string) ([]string, error) {
	f, err := t.Root.OpenFile(dir, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

// WriteTo adds the tree's content to an archive, below prefix. Permissions stay,
// set-user-ID and the like do not, and everything belongs to the agent.
func (t Tree) WriteTo(w *tar.Writer, prefix string, leaveOut func(path string)) error {
	return t.Walk(func(e Entry) error { return t.Write(w, path.Join(prefix, e.Path), e) }, leaveOut)
}

// Write adds one entry to an archive under the given name.
func (t Tree) Write(w *tar.Writer, name string, e Entry) error {
	header := &tar.Header{
		Name: name, Mode: int64(e.Info.Mode().Perm()), ModTime: e.Info.ModTime(),
		Uid: owner, Gid: owner, Format: tar.FormatPAX,
	}
	switch {
	case e.Info.IsDir():
		header.Typeflag, header.Name = tar.TypeDir, header.Name+"/"
		return w.WriteHeader(header)
	case e.Info.Mode()&fs.ModeSymlink != 0:
		header.Typeflag, header.Linkname = tar.TypeSymlink, e.Target
		return w.WriteHeader(header)
	}
	// The file may have been replaced since it was listed: a pipe must not hang
	// and only what is a file now is read.
	f, err := t.Root.OpenFile(e.Path, syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s changed while it was copied; try again", e.Path)
	}
	header.Typeflag, header.Size = tar.TypeReg, info.Size()
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	if _, err := io.CopyN(w, f, info.Size()); err != nil {
		return fmt.Errorf("%s changed while it was copied; try again: %w", e.Path, err)
	}
	return nil
}
