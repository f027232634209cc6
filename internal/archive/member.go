package archive

import (
	"archive/tar"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"
)

// member is one member of an archive that may be written.
type member struct {
	name   string // clean, relative, below the target
	kind   kind
	target string      // of a link; a hard link's is clean like name
	mode   fs.FileMode // permission bits; no set-user-ID and the like
	time   time.Time   // zero for none that is worth keeping
}

type kind int

const (
	skipped kind = iota // says nothing about a file
	file
	directory
	symlink
	hardlink
)

// check decides what a member may be. With only, every member must be the one of
// that name at the top or lie below it, and links must not leave it. The errors
// hold what the archive says; make it visible before it is printed.
func check(h *tar.Header, only string) (member, error) {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return member{}, nil
	}
	name, err := localName(h.Name, only)
	if err != nil {
		return member{}, err
	}
	m := member{name: name, mode: fs.FileMode(h.Mode) & fs.ModePerm} // #nosec G115 -- masked
	if year := h.ModTime.Year(); year >= 1970 && year < 10000 {
		m.time = h.ModTime
	}
	if h.Typeflag == tar.TypeGNUSparse || sparse(h) {
		return member{}, fmt.Errorf("%s is a sparse file, which a few bytes can make as large as the disk", name)
	}
	switch h.Typeflag {
	case tar.TypeReg:
		m.kind = file
	case tar.TypeDir:
		if m.kind = directory; name == "." {
			m.kind = skipped // the target itself, which is there
		}
	case tar.TypeSymlink:
		m.kind, m.target = symlink, h.Linkname
		if !staysInside(below(name, only), m.target) {
			return member{}, fmt.Errorf("%s is a symbolic link that leads out of the target, to %s", name, m.target)
		}
	case tar.TypeLink:
		m.kind = hardlink
		if m.target, err = localName(h.Linkname, only); err != nil {
			return member{}, fmt.Errorf("%s is a hard link that leads out of the target: %w", name, err)
		}
	default:
		return member{}, fmt.Errorf("%s is a device, a pipe or something else that is neither file, directory nor link (type %q)", name, h.Typeflag)
	}
	if m.kind != skipped && name == "." {
		return member{}, fmt.Errorf("a member that is no directory has no name")
	}
	return m, nil
}

// maxName bounds a member's name, in bytes, as PATH_MAX does for the files that are
// packed (limits.h(0)). An archive could hold names of a mebibyte, and directories that
// are half a million deep take for ever.
const maxName = 4095

// localName cleans a member's name. Dot-dot elements are refused even where they
// cancel out: nobody who means well writes them.
func localName(name, only string) (string, error) {
	if len(name) > maxName {
		return "", fmt.Errorf("a name has %d bytes, more than a path can have; it begins %q", len(name), name[:40])
	}
	if name == "" || path.IsAbs(name) || strings.ContainsRune(name, 0) {
		return "", fmt.Errorf("the name %q is not relative to the target", name)
	}
	for element := range strings.SplitSeq(name, "/") {
		if element == ".." {
			return "", fmt.Errorf("the name %q holds a dot-dot element", name)
		}
	}
	clean := path.Clean(name)
	if only != "" && clean != only && !strings.HasPrefix(clean, only+"/") {
		return "", fmt.Errorf("the name %q is not what was asked for, which is %q", name, only)
	}
	return clean, nil
}

// below is a member's name as seen from the tree that its links must not leave.
func below(name, only string) string {
	if only == "" {
		return name
	}
	return strings.TrimPrefix(strings.TrimPrefix(name, only), "/")
}

// staysInside reports whether a symbolic link at name leads to somewhere in its
// tree, by its text alone. Dot-dot elements may only stand at its beginning, where
// they go up through directories; behind the name of another link, .. would go up
// from wherever that leads.
func staysInside(name, target string) bool {
	if name == "" || target == "" || len(target) > maxName || path.IsAbs(target) || strings.ContainsRune(target, 0) {
		return false
	}
	up, down := 0, false
	for element := range strings.SplitSeq(target, "/") {
		switch {
		case element == "" || element == ".":
		case element != "..":
			down = true
		case down:
			return false
		default:
			up++
		}
	}
	return up <= strings.Count(path.Clean(name), "/")
}

// sparse reports PAX records of GNU tar's sparse files, which the tar package
// expands without a word.
func sparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}
