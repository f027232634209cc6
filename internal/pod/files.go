package pod

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/podbottle/podbottle/internal/blueprint"
)

// WriteFiles creates the bottle's runtime directory with everything that its
// containers read, and the directories that they write to. The directory's own
// 0700 keeps other users out.
func WriteFiles(dir string, b *blueprint.Bottle) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if info.Mode().Perm() != 0o700 {
		return fmt.Errorf("runtime directory %s is not private (mode %v); remove it", dir, info.Mode().Perm())
	}
	if err := InMemory(dir); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, f := range b.Files {
		if err := writeFile(root, f); err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(dir, f.Path), err)
		}
	}
	for _, service := range []blueprint.Service{blueprint.Egress, blueprint.Pipelock, blueprint.GitGate, blueprint.Supervise} {
		for _, sub := range []string{"config", "secrets"} {
			if err := makeDirs(root, filepath.Join(string(service), sub)); err != nil {
				return err
			}
		}
	}
	for _, d := range b.Dirs {
		if !filepath.IsAbs(d) {
			d = filepath.Join(dir, d)
		}
		if err := writableDir(d); err != nil {
			return err
		}
	}
	return nil
}

// InMemory refuses a directory on a disk, where a secret outlives its file.
func InMemory(dir string) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return fmt.Errorf("runtime directory %s: %w", dir, err)
	}
	if fs.Type != unix.TMPFS_MAGIC && fs.Type != unix.RAMFS_MAGIC {
		return fmt.Errorf("runtime directory %s is on a disk, where secrets must not be; set XDG_RUNTIME_DIR to a directory on tmpfs, as systemd-logind does", dir)
	}
	return nil
}

func writeFile(root *os.Root, f blueprint.File) error {
	if err := makeDirs(root, filepath.Dir(f.Path)); err != nil {
		return err
	}
	file, err := root.OpenFile(f.Path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, f.Mode)
	if err != nil {
		return err
	}
	_, err = file.WriteString(f.Content.Reveal())
	return errors.Join(err, file.Chmod(f.Mode), file.Close())
}

// makeDirs creates a directory with its parents, readable for the containers
// whatever the user's umask is.
func makeDirs(root *os.Root, name string) error {
	if name == "." {
		return nil
	}
	if err := makeDirs(root, filepath.Dir(name)); err != nil {
		return err
	}
	if err := root.Mkdir(name, 0o755); errors.Is(err, fs.ErrExist) {
		return nil
	} else if err != nil {
		return err
	}
	return root.Chmod(name, 0o755)
}

// writableDir makes a directory that a container's subordinate uid may write to.
// Its parents are the user's alone.
func writableDir(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return os.Chmod(path, 0o777) // #nosec G302 -- below a directory of mode 0700; see above
}

// RemoveTree removes a directory that may hold files of a container's
// subordinate uids, which only Podman's user namespace can remove.
func RemoveTree(path string) error {
	err := os.RemoveAll(path)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	cmd := exec.Command("podman", "unshare", "rm", "-rf", "--", path) // #nosec G204 -- a path below our own directories
	cmd.Env = serviceEnv(os.Environ())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("podman unshare rm -rf %s: %w: %s", path, err, out)
	}
	return nil
}
