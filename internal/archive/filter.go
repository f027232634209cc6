package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
)

// maxLinks bounds the links whose names Filter remembers.
const maxLinks = 100_000

// Filter copies an archive member by member and lets through only what Unpack
// would take, so that whatever unpacks it writes nothing outside of its target.
func Filter(w io.Writer, r io.Reader, only string) error {
	in, out := newReader(r, only), tar.NewWriter(w)
	links := map[string]bool{}
	for {
		m, h, err := in.next()
		if errors.Is(err, io.EOF) {
			return out.Close()
		}
		if err != nil {
			return err
		}
		if m.kind == skipped {
			continue
		}
		if above := linkAbove(links, m.name); above != "" {
			return fmt.Errorf("%s lies below the link %s", m.name, above)
		}
		switch m.kind {
		case hardlink:
			// A link that lies elsewhere under a second name leads elsewhere.
			if above := linkAbove(links, m.target); above != "" {
				return fmt.Errorf("%s is a hard link to %s, which is no file but the link %s or below it", m.name, m.target, above)
			}
		case symlink:
			if links[m.name] = true; len(links) > maxLinks {
				return fmt.Errorf("there are more than %d symbolic links", maxLinks)
			}
		}
		if err := out.WriteHeader(m.header(h.Size)); err != nil {
			return err
		}
		if m.kind != file {
			continue
		}
		if _, err := io.Copy(out, in); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
}

// linkAbove is the link that name is or lies below; empty for none.
func linkAbove(links map[string]bool, name string) string {
	for ; name != path.Dir(name); name = path.Dir(name) {
		if links[name] {
			return name
		}
	}
	return ""
}

// header is the member as an honest archive has it.
func (m member) header(size int64) *tar.Header {
	h := &tar.Header{Name: m.name, Mode: int64(m.mode), ModTime: m.time, Uid: owner, Gid: owner, Linkname: m.target, Format: tar.FormatPAX}
	switch m.kind {
	case directory:
		h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
	case symlink:
		h.Typeflag = tar.TypeSymlink
	case hardlink:
		h.Typeflag = tar.TypeLink
	default:
		h.Typeflag, h.Size = tar.TypeReg, size
	}
	return h
}
