package buildcontext

import (
	"archive/tar"
	"errors"
	"fmt"
	"io/fs"

	"github.com/podbottle/podbottle/internal/archive"
)

// Size is what a context amounts to.
type Size struct {
	Files int   `json:"files"` // with links, without directories
	Bytes int64 `json:"bytes"`
	// LeftOut are links that lead out of the directory, sockets, pipes and devices, and
	// what has a name that no image can hold.
	LeftOut []string `json:"left_out,omitempty"`
}

// Size counts what WriteTo would take.
func (c *Context) Size() (Size, error) {
	var s Size
	err := c.tree().Walk(func(e archive.Entry) error {
		if !e.Info.IsDir() {
			s.Files++
		}
		if e.Info.Mode().IsRegular() {
			s.Bytes += e.Info.Size()
		}
		return nil
	}, func(name string) { s.LeftOut = append(s.LeftOut, name) })
	return s, err
}

// WriteTo adds the directory's content to an archive, below prefix. Permissions
// stay, set-user-ID and the like do not, and everything belongs to the agent.
func (c *Context) WriteTo(w *tar.Writer, prefix string) error {
	err := c.tree().WriteTo(w, prefix, func(name string) { breakLeftOut(c.root, w, prefix, name) })
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w; name it in .containerignore or change its mode", err)
	}
	return err
}

// AddFile adds one file with the given content, readable by all.
func AddFile(w *tar.Writer, name string, content []byte) error {
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content)), Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}
