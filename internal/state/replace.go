package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ReplaceDir fills a directory that is made in beside, a directory of the same file
// system, and puts it in the place of dir. Whoever reads sees either all of the old
// files or all of the new, also after a power failure.
func ReplaceDir(dir, beside string, fill func(fresh string) error) error {
	fresh, err := os.MkdirTemp(beside, ".podbottle-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(fresh)
	if err := fill(fresh); err != nil {
		return err
	}
	// At once: a build context may have thousands of files.
	if err := syncWith(fresh, unix.Syncfs); err != nil {
		return err
	}
	if err := Exchange(fresh, dir); err != nil {
		return err
	}
	return syncWith(filepath.Dir(dir), unix.Fsync)
}

// Exchange puts the directory fresh in the place of dir in one step. What was there,
// if anything was, is at fresh afterwards.
func Exchange(fresh, dir string) error {
	if _, err := os.Lstat(dir); errors.Is(err, os.ErrNotExist) {
		return os.Rename(fresh, dir)
	}
	if err := unix.Renameat2(unix.AT_FDCWD, fresh, unix.AT_FDCWD, dir, unix.RENAME_EXCHANGE); err != nil {
		return fmt.Errorf("exchange %s: %w", dir, err)
	}
	return nil
}

// syncWith waits for the disk, by fsync(2) for a directory's names or by syncfs(2) for
// all that is in its file system.
func syncWith(dir string, sync func(fd int) error) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := sync(int(f.Fd())); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}
