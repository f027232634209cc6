package state

import (
	"errors"
	"fmt"
	"os"
)

// previousDockerfile is the recipe that was the bottle's own before Dockerfile.
func (t Tree) previousDockerfile() string { return t.Dockerfile() + ".previous" }

// ReplaceDockerfile makes content the bottle's own recipe and keeps the one before
// it, if it had one, for WithdrawDockerfile.
func ReplaceDockerfile(root, slug string, content []byte) error {
	t, err := Of(root, slug)
	if err != nil {
		return err
	}
	old, err := os.ReadFile(t.Dockerfile())
	switch {
	case errors.Is(err, os.ErrNotExist):
		if err := os.Remove(t.previousDockerfile()); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("recipe of bottle %s: %w", slug, err)
		}
	case err != nil:
		return fmt.Errorf("recipe of bottle %s: %w", slug, err)
	default:
		if err := WriteFile(t.previousDockerfile(), old); err != nil {
			return err
		}
	}
	return WriteFile(t.Dockerfile(), content)
}

// ErrNoDockerfile says that a bottle has no recipe of its own.
var ErrNoDockerfile = errors.New("no capability change was approved")

// WithdrawDockerfile goes back to the recipe before the last ReplaceDockerfile,
// which may be none of the bottle's own.
func WithdrawDockerfile(root, slug string) error {
	t, err := Of(root, slug)
	if err != nil {
		return err
	}
	err = os.Rename(t.previousDockerfile(), t.Dockerfile())
	if errors.Is(err, os.ErrNotExist) {
		err = os.Remove(t.Dockerfile())
	}
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("bottle %s: %w", slug, ErrNoDockerfile)
	}
	if err != nil {
		return fmt.Errorf("recipe of bottle %s: %w", slug, err)
	}
	return nil
}
