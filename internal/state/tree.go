// Package state is the tree below ~/.bot-bottle: where each file of a bottle
// lies, its metadata, its lock, and the marker that keeps it after the session.
// Every directory it makes is 0700 and every file 0600 from its first byte on.
package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

// RootVariable moves the whole tree.
const RootVariable = "BOT_BOTTLE_ROOT"

// The services that have a directory in a bottle's tree.
const (
	agentDir     = "agent"
	egressDir    = "egress"
	pipelockDir  = "pipelock"
	gitGateDir   = "git-gate"
	superviseDir = "supervise"
)

// Root is the root of the state tree: $BOT_BOTTLE_ROOT, or .bot-bottle in home.
// A relative override is refused, since it would depend on the directory of the call.
func Root(lookupEnv func(string) (string, bool), home string) (string, error) {
	if root, ok := lookupEnv(RootVariable); ok && root != "" {
		if !filepath.IsAbs(root) {
			return "", fmt.Errorf("%s is %q: give an absolute path", RootVariable, root)
		}
		return filepath.Clean(root), nil
	}
	if home == "" {
		return "", fmt.Errorf("no home directory; set HOME or %s", RootVariable)
	}
	return filepath.Join(home, ".bot-bottle"), nil
}

// Tree is the state of one bottle. The zero value is not usable.
type Tree struct {
	root string
	slug string
}

// Of returns the tree of the bottle slug below root. It refuses a slug that is
// not one, so that no path outside of root can be made from user input.
func Of(root, slug string) (Tree, error) {
	if !ValidSlug(slug) {
		return Tree{}, fmt.Errorf("%q is not the slug of a bottle: lower-case letters, digits and dashes are", slug)
	}
	return Tree{root: root, slug: slug}, nil
}

// maxSlug bounds a slug, so that container names, host names (63) and socket paths (107) fit.
const maxSlug = 48

// ValidSlug reports whether s can name a bottle: [a-z0-9][a-z0-9-]*, at most 48 characters.
func ValidSlug(s string) bool {
	if s == "" || len(s) > maxSlug || s[0] == '-' {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
	}) < 0
}

// Dir is state/<slug>.
func (t Tree) Dir() string { return filepath.Join(t.root, "state", t.slug) }

// Metadata is what resume reads.
func (t Tree) Metadata() string { return filepath.Join(t.Dir(), "metadata.json") }

// Plan is the effective plan of the last launch.
func (t Tree) Plan() string { return filepath.Join(t.Dir(), "plan.json") }

// Dockerfile is the bottle's own image recipe, written when a capability change is approved.
func (t Tree) Dockerfile() string { return filepath.Join(t.Dir(), "Dockerfile") }

// Transcript is the directory for the snapshot of the conversation.
func (t Tree) Transcript() string { return filepath.Join(t.Dir(), "transcript") }

// Agent is the directory of the agent's env file, prompt and provider files.
func (t Tree) Agent() string { return filepath.Join(t.Dir(), agentDir) }

// EnvFile holds the literal variables of the agent, NAME=VALUE a line.
func (t Tree) EnvFile() string { return filepath.Join(t.Agent(), "agent.env") }

// PromptFile is the agent's system prompt.
func (t Tree) PromptFile() string { return filepath.Join(t.Agent(), "prompt.txt") }

// Egress is the egress sidecar's directory.
func (t Tree) Egress() string { return filepath.Join(t.Dir(), egressDir) }

// Pipelock is the firewall's directory.
func (t Tree) Pipelock() string { return filepath.Join(t.Dir(), pipelockDir) }

// GitGate is the git gate's directory.
func (t Tree) GitGate() string { return filepath.Join(t.Dir(), gitGateDir) }

// Supervise is the supervise sidecar's directory.
func (t Tree) Supervise() string { return filepath.Join(t.Dir(), superviseDir) }

// CurrentConfig is the directory of a supervised bottle with what its agent may propose
// to change: the Containerfile of its image.
func (t Tree) CurrentConfig() string { return filepath.Join(t.Supervise(), "current-config") }

// Data is the directory that a sidecar mounts writable at /var/lib/podbottle.
func (t Tree) Data(service string) string { return filepath.Join(t.Dir(), service, "data") }

// Queue holds the proposals of the bottle: queue/<slug>.
func (t Tree) Queue() string { return filepath.Join(t.root, "queue", t.slug) }

func (t Tree) preserveMarker() string { return filepath.Join(t.Dir(), ".preserve") }

func (t Tree) lockFile() string { return filepath.Join(t.Dir(), ".lock") }

// MakeDir creates dir and its missing parents with mode 0700.
func MakeDir(dir string) error {
	err := os.MkdirAll(dir, 0o700)
	switch {
	case errors.Is(err, os.ErrPermission), errors.Is(err, unix.EROFS):
		return fmt.Errorf("create directory: %w; make it writable, or name another place for all state with %s", err, RootVariable)
	case err != nil:
		return fmt.Errorf("create directory: %w", err)
	}
	return nil
}

// WriteFile replaces the file at path in one step, and it is on the disk when
// WriteFile returns. The content is never readable by others, not even while it
// is written.
func WriteFile(path string, content []byte) error {
	dir := filepath.Dir(path)
	if err := renameio.WriteFile(path, content, 0o600, renameio.WithStaticPermissions(0o600), renameio.WithTempDir(dir)); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return syncWith(dir, unix.Fsync) // its name
}

// WriteDraft is WriteFile without waiting for the disk, for what the next launch
// writes anew anyway. Waiting takes some milliseconds a file.
func WriteDraft(path string, content []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-") // 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// SetPreserve keeps the bottle's state when its session ends.
func SetPreserve(root, slug string) error {
	t, err := Of(root, slug)
	if err != nil {
		return err
	}
	return WriteFile(t.preserveMarker(), nil)
}

// Preserved reports whether the bottle's state is to be kept.
func Preserved(root, slug string) bool {
	t, err := Of(root, slug)
	if err != nil {
		return false
	}
	_, err = os.Lstat(t.preserveMarker())
	return err == nil
}

// ClearPreserve takes the marker away; it is no error if there is none.
func ClearPreserve(root, slug string) error {
	t, err := Of(root, slug)
	if err != nil {
		return err
	}
	if err := os.Remove(t.preserveMarker()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("clear the preserve marker: %w", err)
	}
	return nil
}

// removedPrefix begins the names of directories on their way out; no slug has it.
const removedPrefix = ".removed-"

// Remove deletes the state and the queue of a bottle; it is no error if they
// are gone. The caller holds the bottle's lock, which lies in the state: so the
// directory is first taken away as a whole and then deleted, or another process
// could lock the bottle anew while half of it is still there.
func Remove(root, slug string) error { return RemoveUsing(root, slug, os.RemoveAll) }

// RemoveUsing is Remove for a bottle that ran: its sidecars wrote files as
// subordinate uids, which only removeAll may be able to delete.
func RemoveUsing(root, slug string, removeAll func(path string) error) error {
	t, err := Of(root, slug)
	if err != nil {
		return err
	}
	if err := t.remove(removeAll); err != nil {
		return fmt.Errorf("remove the state of %s: %w", slug, err)
	}
	return nil
}

func (t Tree) remove(removeAll func(string) error) error {
	if err := removeAll(t.Queue()); err != nil {
		return err
	}
	// Another process's sweep may take the new directory before it is used.
	for {
		if _, err := os.Lstat(t.Dir()); errors.Is(err, os.ErrNotExist) {
			break
		}
		away, err := os.MkdirTemp(filepath.Dir(t.Dir()), removedPrefix)
		if err != nil {
			return err
		}
		err = os.Rename(t.Dir(), filepath.Join(away, t.slug))
		if err == nil {
			break
		}
		if !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	// Together with what an interrupted removal left.
	leftovers, err := HalfRemoved(t.root)
	errs := []error{err}
	for _, dir := range leftovers {
		errs = append(errs, removeAll(dir))
	}
	return errors.Join(errs...)
}

// HalfRemoved returns the directories of bottles whose removal is under way, or
// was interrupted.
func HalfRemoved(root string) ([]string, error) {
	return filepath.Glob(filepath.Join(root, "state", removedPrefix+"*"))
}

// List returns the slugs that have a state directory, sorted. Entries that no
// bottle can have made are left out.
func List(root string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(root, "state"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the bottles: %w", err)
	}
	var slugs []string
	for _, e := range entries {
		if e.IsDir() && ValidSlug(e.Name()) {
			slugs = append(slugs, e.Name())
		}
	}
	slices.Sort(slugs)
	return slugs, nil
}
