package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Pack writes the file or directory at path as an archive with one member at its
// top, named as. The path's last element must not be a link. leaveOut is told what
// does not go along; see Tree.Walk.
func Pack(w io.Writer, path, as string, leaveOut func(path string)) error {
	path = filepath.Clean(path)
	parent, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return of(path, err)
	}
	defer parent.Close()
	name := filepath.Base(path)
	if name == string(filepath.Separator) {
		name = "."
	}
	info, err := parent.Lstat(name)
	if err != nil {
		return of(path, err)
	}
	archive := tar.NewWriter(w)
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf("%s is a symbolic link; name what it leads to", path)
	case info.Mode().IsRegular():
		err = of(path, Tree{Root: parent}.Write(archive, as, Entry{Path: name, Info: info}))
	case info.IsDir():
		err = packDir(archive, parent, name, as, info, leaveOut)
	default:
		return fmt.Errorf("%s is neither a file nor a directory", path)
	}
	if err != nil {
		return err // without the archive's end, by which the other side knows that it is whole
	}
	return archive.Close()
}

func packDir(archive *tar.Writer, parent *os.Root, name, as string, info fs.FileInfo, leaveOut func(string)) error {
	dir := filepath.Join(parent.Name(), name)
	root, err := parent.OpenRoot(name)
	if err != nil {
		return of(dir, err)
	}
	defer root.Close()
	tree := Tree{Root: root}
	if err := tree.Write(archive, as, Entry{Path: ".", Info: info}); err != nil {
		return err
	}
	err = tree.WriteTo(archive, as, leaveOut)
	if at, ok := systemError(err); ok {
		return of(filepath.Join(dir, at.Path), err)
	}
	return err
}

// of is an error of the system with the path as its user knows it, in the place of the
// system call and of the path below an opened directory.
func of(path string, err error) error {
	at, ok := systemError(err)
	switch {
	case !ok:
		return err
	case errors.Is(at.Err, fs.ErrNotExist):
		return fmt.Errorf("%s could not be found: %w", path, at.Err)
	}
	return fmt.Errorf("%s: %w", path, at.Err)
}

// systemError is err where that is an error of the system and no other around one.
func systemError(err error) (*fs.PathError, bool) {
	at, ok := err.(*fs.PathError) //nolint:errorlint // errors.As would unwrap an error that says more, and what it says would be lost
	return at, ok
}
