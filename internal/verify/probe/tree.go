package probe

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Escaped says what of a copy leads out of dir or is more than a file; empty for nothing.
func Escaped(dir string) (found string, err error) {
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return "", err
	}
	err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		real, linkErr := filepath.EvalSymlinks(path)
		switch mode := info.Mode(); {
		case mode.Type()&^(fs.ModeDir|fs.ModeSymlink) != 0, mode&(fs.ModeSetuid|fs.ModeSetgid) != 0:
			found = path + " is a " + mode.String()
		case linkErr == nil && real != dir && !strings.HasPrefix(real, dir+"/"):
			found = path + " leads to " + real
		case mode.Type() == fs.ModeSymlink && linkErr != nil:
			if to, _ := os.Readlink(path); filepath.IsAbs(to) || strings.Contains(to, "..") {
				found = path + " leads to " + to
			}
		case mode.IsRegular() && info.Size() > 1<<30:
			found = path + " is larger than what was sent"
		}
		if found != "" {
			return fs.SkipAll
		}
		return nil
	})
	return found, err
}

// Copied is what a tree is in the bottle that it was copied into.
type Copied struct {
	Escaped string // as Escaped says it
	Content []byte // of one file
	Written int    // files that the agent could write to
}

// lookAt looks at the tree DIR of the home and at its file NAME, and then writes into
// all files, also those that links lead to.
func lookAt(_ context.Context, args []string) (any, error) {
	if len(args) != 2 {
		return nil, errors.New("wanted: look DIR NAME")
	}
	dir := filepath.Join(os.Getenv("HOME"), args[0])
	var c Copied
	var err error
	if c.Escaped, err = Escaped(dir); err != nil {
		return nil, err
	}
	if c.Content, err = os.ReadFile(filepath.Join(dir, args[1])); err != nil { // #nosec G304 -- what the operator's side names
		return nil, err
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type()&^fs.ModeSymlink == 0 && os.WriteFile(path, []byte("the agent's"), 0o600) == nil { // #nosec G306 G122 -- it is to get as far as it can
			c.Written++
		}
		return err
	})
	return c, err
}
