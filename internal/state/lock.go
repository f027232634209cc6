package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// ErrLocked is returned by Lock while another process works on the bottle.
var ErrLocked = errors.New("another podbottle process works on this bottle")

// BottleLock is held by the one process that works on a bottle.
type BottleLock struct{ file *flock.Flock }

// Lock takes the bottle's lock without waiting and creates its state directory
// if need be. The lock is advisory (flock(2)) and ends with the process.
func Lock(root, slug string) (*BottleLock, error) {
	t, err := Of(root, slug)
	if err != nil {
		return nil, err
	}
	// The file lies in the directory that Remove deletes: another process may have
	// done so between open and lock, which leaves a lock on a file nobody else sees.
	for {
		err := MakeDir(t.Dir())
		if errors.Is(err, os.ErrExist) {
			continue // it went away between mkdir and stat
		}
		if err != nil {
			return nil, err
		}
		file := flock.New(t.lockFile(), flock.SetPermissions(0o600))
		got, err := file.TryLock()
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("lock bottle %s: %w", slug, err)
		}
		if !got {
			return nil, fmt.Errorf("bottle %s: %w", slug, ErrLocked)
		}
		held, err := file.Stat()
		if err == nil {
			if there, statErr := os.Stat(t.lockFile()); statErr == nil && os.SameFile(held, there) {
				return &BottleLock{file: file}, nil
			}
		}
		if closeErr := file.Close(); closeErr != nil {
			return nil, fmt.Errorf("lock bottle %s: %w", slug, closeErr)
		}
	}
}

// Vacant reports whether there is nothing of a bottle but its lock, which the caller
// holds.
func Vacant(root, slug string) (bool, error) {
	t, err := Of(root, slug)
	if err != nil {
		return false, err
	}
	entries, err := os.ReadDir(t.Dir())
	if err != nil {
		return false, fmt.Errorf("state of %s: %w", slug, err)
	}
	return len(entries) == 1 && entries[0].Name() == filepath.Base(t.lockFile()), nil
}

// Unlock gives the lock back. It may be called after Remove.
func (l *BottleLock) Unlock() error { return l.file.Close() }
