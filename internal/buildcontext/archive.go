package buildcontext

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"syscall"
)

// owner is the uid and gid that everything has in the archive: the agent's.
const owner = 1000

// Size is what a context amounts to.
type Size struct {
	Files int   `json:"files"` // with links, without directories
	Bytes int64 `json:"bytes"`
	// LeftOut are links that lead out of the directory, and sockets, pipes and devices.
	LeftOut []string `json:"left_out,omitempty"`
}

// Size counts what WriteTo would take.
func (c *Context) Size() (Size, error) {
	var s Size
	err := c.walk(func(e entry) error {
		if !e.info.IsDir() {
			s.Files++
		}
		if e.info.Mode().IsRegular() {
			s.Bytes += e.info.Size()
		}
		return nil
	}, func(name string) { s.LeftOut = append(s.LeftOut, name) })
	return s, err
}

// WriteTo adds the directory's content to an archive, below prefix. Permissions
// stay, set-user-ID and the like do not, and everything belongs to the agent.
func (c *Context) WriteTo(w *tar.Writer, prefix string) error {
	return c.walk(func(e entry) error { return c.write(w, prefix, e) }, func(string) {})
}

func (c *Context) write(w *tar.Writer, prefix string, e entry) error {
	header := &tar.Header{
		Name: path.Join(prefix, e.path), Mode: int64(e.info.Mode().Perm()), ModTime: e.info.ModTime(),
		Uid: owner, Gid: owner, Format: tar.FormatPAX,
	}
	switch {
	case e.info.IsDir():
		header.Typeflag, header.Name = tar.TypeDir, header.Name+"/"
		return w.WriteHeader(header)
	case e.info.Mode()&fs.ModeSymlink != 0:
		header.Typeflag, header.Linkname = tar.TypeSymlink, e.target
		return w.WriteHeader(header)
	}
	// The file may have been replaced since it was listed: a pipe must not hang
	// and only what is a file now is read.
	f, err := c.root.OpenFile(e.path, syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%s cannot be read; name it in .containerignore or change its mode", e.path)
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
		return fmt.Errorf("%s changed while it was copied; try again", e.path)
	}
	header.Typeflag, header.Size = tar.TypeReg, info.Size()
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	if _, err := io.CopyN(w, f, info.Size()); err != nil {
		return fmt.Errorf("%s changed while it was copied; try again: %w", e.path, err)
	}
	return nil
}

// AddFile adds one file with the given content, readable by all.
func AddFile(w *tar.Writer, name string, content []byte) error {
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content)), Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}
