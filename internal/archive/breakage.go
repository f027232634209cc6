//go:build breakage

package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/podbottle/podbottle/internal/breakage"
)

// breakMember takes every member for a good one.
func breakMember(h *tar.Header, m member, err error) (member, error) {
	if !breakage.Has("members") {
		return m, err
	}
	m = member{name: h.Name, target: h.Linkname, mode: fs.FileMode(h.Mode) & fs.ModePerm}
	switch h.Typeflag {
	case tar.TypeDir:
		m.kind = directory
	case tar.TypeSymlink:
		m.kind = symlink
	case tar.TypeLink:
		m.kind = hardlink
	case tar.TypeXGlobalHeader:
	default:
		m.kind = file
	}
	return m, nil
}

// breakStage unpacks as a program does that believes an archive: names go where they
// lead, links are followed, and what is there is replaced. A disk is not filled.
func breakStage(r *reader, root *os.Root) (done bool, report Report, err error) {
	if !breakage.Has("members") {
		return false, report, nil
	}
	dir, err := pathOf(root)
	if err != nil {
		return true, report, err
	}
	place := func(name string) string {
		if filepath.IsAbs(name) {
			return name
		}
		return dir + "/" + name
	}
	for {
		m, h, err := r.next()
		if errors.Is(err, io.EOF) {
			return true, report, nil
		}
		if err != nil {
			return true, report, err
		}
		if m.kind == file {
			if err := fits(root, m.name, h.Size); err != nil {
				return true, report, err
			}
		}
		to := place(m.name)
		_ = os.MkdirAll(filepath.Dir(to), 0o755)
		switch m.kind {
		case directory:
			_ = os.Mkdir(to, 0o755)
		case symlink:
			_ = os.RemoveAll(to)
			err = os.Symlink(m.target, to)
		case hardlink:
			_ = os.Remove(to)
			err = os.Link(place(m.target), to)
		case file:
			var text []byte
			if text, err = io.ReadAll(io.LimitReader(r, 1<<20)); err == nil {
				err = os.WriteFile(to, text, m.mode)
			}
		}
		if err != nil {
			return true, report, err
		}
		report.add(m, h.Size)
	}
}

// breakCommit mixes what was staged into what is there, and follows the links there.
func breakCommit(root *os.Root, staged, as string) (done bool, err error) {
	if !breakage.Has("merge") {
		return false, nil
	}
	dir, err := pathOf(root)
	if err != nil {
		return true, err
	}
	from := filepath.Join(dir, staged)
	return true, filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(dir, as+path[len(from):])
		switch {
		case d.IsDir():
			return os.MkdirAll(to, 0o755)
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			_ = os.Symlink(target, to)
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(to, text, 0o600)
	})
}

// pathOf is where a directory is.
func pathOf(root *os.Root) (string, error) {
	dir, err := root.Open(".")
	if err != nil {
		return "", err
	}
	defer dir.Close()
	return os.Readlink(fmt.Sprintf("/proc/self/fd/%d", dir.Fd()))
}
