package handover

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// putFile puts a file with the content and permission bits of one that is handed
// over into the agent's home.
type putFile func(home *os.Root, name string, content []byte, mode fs.FileMode) error

// copyHome copies the tree src into home, file by file. It opens nothing through a
// symbolic link that leads out of home: on a resumed bottle the agent has been
// there before.
func copyHome(src, home string, put putFile) error {
	root, err := os.OpenRoot(home)
	if err != nil {
		return err
	}
	defer root.Close()
	return filepath.WalkDir(src, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == src {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(src, path)
		if err != nil || name == "." {
			return err
		}
		if d.IsDir() {
			if err := root.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
			return nil
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path) // #nosec G304 G122 -- below our own mount, which is read-only
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o600)
		if info.Mode().Perm()&0o100 != 0 {
			mode = 0o700
		}
		return put(root, name, content, mode)
	})
}

// replaceFile puts the file in the place of whatever the agent has there.
func replaceFile(home *os.Root, name string, content []byte, mode fs.FileMode) error {
	if err := home.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return home.WriteFile(name, content, mode)
}

// replaceReadOnly is replaceFile for what the agent has no reason to write.
func replaceReadOnly(home *os.Root, name string, content []byte, mode fs.FileMode) error {
	return replaceFile(home, name, content, mode&^0o222)
}

// keepFile leaves alone what is there.
func keepFile(home *os.Root, name string, content []byte, mode fs.FileMode) error {
	if _, err := home.Lstat(name); err == nil {
		return nil
	}
	return replaceFile(home, name, content, mode)
}
