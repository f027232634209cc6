package archive

import (
	"archive/tar"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/podbottle/podbottle/internal/breakage"
)

// errCutShort says that an archive has no end.
var errCutShort = errors.New("the archive is cut short")

// reader reads an archive's members and knows whether it ended as archives do.
type reader struct {
	*tar.Reader
	source *endReader
	only   string
}

// endReader notes when its source had nothing more.
type endReader struct {
	io.Reader
	ended bool
}

func (r *endReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if n == 0 && errors.Is(err, io.EOF) {
		r.ended = true
	}
	return n, err
}

func newReader(r io.Reader, only string) *reader {
	source := &endReader{Reader: r}
	return &reader{tar.NewReader(source), source, only}
}

// next returns the next member and its header; io.EOF after the last of a whole archive.
func (r *reader) next() (member, *tar.Header, error) {
	h, err := r.Reader.Next()
	switch {
	case errors.Is(err, io.EOF) && r.source.ended:
		return member{}, nil, errCutShort // tar.Reader takes it for an end
	case errors.Is(err, io.EOF):
		return member{}, nil, io.EOF
	case errors.Is(err, io.ErrUnexpectedEOF):
		return member{}, nil, errCutShort
	case err != nil:
		return member{}, nil, err
	}
	m, err := check(h, r.only)
	m, err = breakMember(h, m, err)
	return m, h, err
}

// UnpackTo is Unpack to a place of a user's choice; see Place. With an empty name
// the archive may have any number of members at its top, and dest is a directory.
func UnpackTo(r io.Reader, dest, name string) (Report, error) {
	if name == "" {
		return Unpack(r, dest, "", "")
	}
	dir, as, err := Place(dest, name)
	if err != nil {
		return Report{}, err
	}
	return Unpack(r, dir, name, as)
}

// Unpack writes an archive into the directory dir. With only, the archive has one
// member at its top, of that name, which gets the name as in dir. Everything is
// written to a directory of its own first and comes to its place whole, or not at
// all. A file takes the place of a file; anything else that is there already is an
// error, since a copy that is mixed into a directory cannot be told from it.
func Unpack(r io.Reader, dir, only, as string) (Report, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Report{}, of(dir, err)
	}
	defer root.Close()
	staging := ".podbottle-copy-" + rand.Text()
	if only != "" { // before it is all sent
		if err := free(root, as, true); err != nil {
			return Report{}, err
		}
	}
	if err := root.Mkdir(staging, 0o700); err != nil {
		return Report{}, fmt.Errorf("nothing can be written into %w", of(dir, err))
	}
	var report Report
	inner, err := root.OpenRoot(staging)
	if err == nil {
		report, err = stage(newReader(r, only), inner)
		err = errors.Join(err, inner.Close())
	}
	if err == nil {
		err = commit(root, staging, only, as)
	}
	return report, errors.Join(err, root.RemoveAll(staging))
}

// stage writes all members into an empty directory.
func stage(r *reader, root *os.Root) (Report, error) {
	if done, report, err := breakStage(r, root); done {
		return report, err
	}
	var report Report
	s := stager{root: root, ready: map[string]bool{".": true}}
	for {
		m, h, err := r.next()
		if errors.Is(err, io.EOF) {
			return report, s.setTimes()
		}
		if err != nil {
			return report, err
		}
		if m.kind == file {
			if err := fits(root, m.name, h.Size); err != nil {
				return report, err
			}
		}
		if err := s.put(m, r); err != nil {
			return report, err
		}
		report.add(m, h.Size)
	}
}

// smallFile is too small to ask how much is free.
const smallFile = 1 << 20

// fits refuses a file that is larger than what is free. Where it comes from it may be
// a hole that takes no room, and the disk would be full before that is noticed.
func fits(root *os.Root, name string, size int64) error {
	if size <= smallFile {
		return nil
	}
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	var disk unix.Statfs_t
	if err := unix.Fstatfs(int(dir.Fd()), &disk); err != nil {
		return err
	}
	if unit := disk.Bsize; size/unit >= int64(disk.Bavail) { // #nosec G115 -- blocks of a disk
		return fmt.Errorf("%s has %d bytes, more than the %d that are free where it is to go", name, size, int64(disk.Bavail)*unit) // #nosec G115
	}
	return nil
}

// maxDirs bounds the directories of one archive, which are kept in mind.
const maxDirs = 1_000_000

// stager writes members below a directory that nobody else writes to.
type stager struct {
	root *os.Root
	// ready are directories that were made here, and so are no links.
	ready map[string]bool
	times []member // of directories: writing into them would change them
}

func (s *stager) put(m member, content io.Reader) (err error) {
	if m.kind == skipped {
		return nil
	}
	if err := s.makeDir(path.Dir(m.name), 0o755); err != nil {
		return err
	}
	switch m.kind {
	case directory:
		if err := s.makeDir(m.name, m.mode); err != nil {
			return err
		}
		s.times = append(s.times, m)
	case symlink:
		return s.root.Symlink(m.target, m.name)
	case hardlink:
		if !s.ready[path.Dir(m.target)] {
			return fmt.Errorf("%s is a hard link to %s, which is in no directory of the archive", m.name, m.target)
		}
		info, err := s.root.Lstat(m.target)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is a hard link to %s, which is no file", m.name, m.target)
		}
		return s.root.Link(m.target, m.name)
	case file:
		return s.writeFile(m, content)
	}
	return nil
}

// makeDir makes a directory with its parents. Its owner may always use it, or what
// was written could not be taken away again.
func (s *stager) makeDir(name string, mode fs.FileMode) error {
	if s.ready[name] {
		return nil
	}
	if err := s.makeDir(path.Dir(name), 0o755); err != nil {
		return err
	}
	if len(s.ready) > maxDirs {
		return fmt.Errorf("there are more than %d directories", maxDirs)
	}
	if err := s.root.Mkdir(name, mode|0o700); err != nil {
		return err
	}
	s.ready[name] = true
	return nil
}

func (s *stager) writeFile(m member, content io.Reader) error {
	f, err := s.root.OpenFile(m.name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, m.mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errCutShort
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("%s: %w", m.name, err)
	}
	return s.setTime(m)
}

func (s *stager) setTime(m member) error {
	if m.time.IsZero() {
		return nil
	}
	return s.root.Chtimes(m.name, time.Time{}, m.time)
}

func (s *stager) setTimes() error {
	for _, m := range s.times {
		if err := s.setTime(m); err != nil {
			return err
		}
	}
	return nil
}

// commit moves what was staged to its place.
func commit(root *os.Root, staging, only, as string) (err error) {
	staged, err := fs.ReadDir(root.FS(), staging)
	if err != nil {
		return err
	}
	if only != "" {
		if len(staged) == 0 {
			return fmt.Errorf("the archive does not hold %s", only)
		}
		if done, err := breakCommit(root, path.Join(staging, only), as); done {
			return err
		}
		if err := free(root, as, staged[0].Type().IsRegular()); err != nil {
			return err
		}
		return root.Rename(path.Join(staging, only), as)
	}
	for _, entry := range staged {
		if err := free(root, entry.Name(), false); err != nil {
			return err
		}
	}
	for i, entry := range staged {
		if err := root.Rename(path.Join(staging, entry.Name()), entry.Name()); err != nil {
			for _, moved := range staged[:i] { // it was free before
				err = errors.Join(err, root.Rename(moved.Name(), path.Join(staging, moved.Name())))
			}
			return err
		}
	}
	return nil
}

// free reports whether a place can be taken: nothing is there or, with replace, a file.
func free(root *os.Root, name string, replace bool) error {
	there, err := root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist), breakage.Has("merge"):
		return nil
	case err != nil:
		return err
	case replace && there.Mode().IsRegular():
		return nil
	case there.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf("%s is there and is a symbolic link, which is not followed; remove it or choose another name", name)
	}
	return fmt.Errorf("%s is there already; remove it or choose another name", name)
}

// Place says where a copy of something called base goes: into dest when that is a
// directory, in its place otherwise.
func Place(dest, base string) (dir, name string, err error) {
	info, err := os.Stat(dest)
	switch {
	case err == nil && info.IsDir():
		return dest, base, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", "", of(dest, err)
	case strings.HasSuffix(dest, "/"):
		return "", "", fmt.Errorf("there is no directory %s: %w", dest, unix.ENOENT)
	}
	return filepath.Dir(dest), filepath.Base(dest), nil
}

// Base is the name of a copy of path: its last element, or one that stands for the
// root directory.
func Base(path string) string {
	if base := filepath.Base(path); base != "/" && base != "." && base != ".." {
		return base
	}
	return "root"
}
