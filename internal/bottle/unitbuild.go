package bottle

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/podbottle/podbottle/internal/resolve"
	"github.com/podbottle/podbottle/internal/state"
)

// writeContext keeps a copy of the Containerfile and of all that it may copy, so
// that what is built at a later start is what was seen at the installation.
func (d *design) writeContext() error {
	return state.ReplaceDir(d.tree.build(), d.tree.dir, func(fresh string) error {
		reader, writer := io.Pipe()
		defer reader.Close()
		go func() { _ = writer.CloseWithError(resolve.WriteContext(writer, d.plan)) }()
		if err := extract(reader, fresh); err != nil {
			return fmt.Errorf("build context of image %s: %w", d.plan.Image, err)
		}
		return nil
	})
}

// extract unpacks an archive below dir. A file that comes twice, as the
// Containerfile of a context does, is there as it came last. Links are made as they
// are and never followed, so that nothing lands outside.
func extract(r io.Reader, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	archive := tar.NewReader(r)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := filepath.Clean(header.Name)
		if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		switch header.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(name, header.FileInfo().Mode().Perm()|0o700)
		case tar.TypeSymlink:
			err = root.Symlink(header.Linkname, name)
		case tar.TypeReg:
			err = extractFile(root, name, header.FileInfo().Mode().Perm(), archive)
		default:
			err = fmt.Errorf("%s has the type %q", name, header.Typeflag)
		}
		if err != nil {
			return err
		}
	}
}

func extractFile(root *os.Root, name string, mode fs.FileMode, content io.Reader) error {
	if err := ignoreMissing(root.Remove(name)); err != nil {
		return err
	}
	file, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, file.Close())
}
