package gate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"github.com/podbottle/podbottle/internal/gitgate"
)

// How long the remote may take. A connection that is silent ends earlier (see sshOptions).
const (
	listTimeout     = time.Minute
	transferTimeout = time.Hour
)

// mirror is the bare repository that stands for one remote.
type mirror struct {
	repo gitgate.Repository
	git  git
	// busy is held, as a semaphore of one, by whoever changes refs in agreement with
	// the remote: a refresh, or a push from its forwarding until its refs are set.
	busy   chan struct{}
	shared flight // refreshes
}

// mirrorConfig is the mirror's whole git configuration. Hooks and transports are
// pinned, and whatever arrives is checked (fsck). Three faults of old histories
// pass on a fetch, as they do on the large forges; a push may not make new ones.
// What arrives stays packed (unpackLimit), so that it goes on as it came.
const mirrorConfig = `[core]
	repositoryformatversion = 0
	bare = true
	fsmonitor = false
	untrackedCache = false
	logAllRefUpdates = false
	hooksPath = %s
	bigFileThreshold = 32m
[transfer]
	unpackLimit = 1
	fsckObjects = true
	credentialsInUrl = die
[fetch]
	fsckObjects = true
	recurseSubmodules = false
	writeCommitGraph = false
[fetch "fsck"]
	zeroPaddedFilemode = warn
	missingSpaceBeforeDate = warn
	badTimezone = warn
[receive]
	fsckObjects = true
	maxInputSize = %d
	denyDeletes = false
	denyNonFastForwards = false
	denyDeleteCurrent = ignore
	advertisePushOptions = false
	autogc = false
[uploadpack]
	allowFilter = true
[push]
	recurseSubmodules = no
	gpgSign = false
[submodule]
	recurse = false
[protocol]
	allow = never
	version = 2
[protocol "ssh"]
	allow = always
[gc]
	autoDetach = false
`

// newMirror makes the repository, or takes the one of an earlier session, and
// writes its configuration.
func newMirror(dir, hooks string, repo gitgate.Repository, limits gitgate.Limits, env []string) (*mirror, error) {
	for _, d := range []string{"objects", "refs"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	head := filepath.Join(dir, "HEAD")
	if _, err := os.Stat(head); errors.Is(err, fs.ErrNotExist) {
		if err := renameio.WriteFile(head, []byte("ref: refs/heads/main\n"), 0o644); err != nil {
			return nil, err
		}
	}
	config := fmt.Sprintf(mirrorConfig, hooks, limits.PackBytes)
	if err := renameio.WriteFile(filepath.Join(dir, "config"), []byte(config), 0o644); err != nil {
		return nil, err
	}
	m := &mirror{repo: repo, git: git{dir: dir, env: env}, busy: make(chan struct{}, 1)}
	// A lock file of a git that was killed would stop every later one.
	for _, stale := range []string{"HEAD.lock", "packed-refs.lock", "config.lock", "shallow.lock"} {
		_ = os.Remove(filepath.Join(dir, stale))
	}
	return m, nil
}

// lock waits until nobody else changes refs.
func (m *mirror) lock(ctx context.Context) error {
	select {
	case m.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (m *mirror) unlock() { <-m.busy }

// filledMarker is there once the mirror has been like the remote.
const filledMarker = "podbottle-filled"

// filled reports whether the mirror ever held what the remote has. Until then a
// push would look as if all its history were new.
func (m *mirror) filled() bool {
	_, err := os.Stat(filepath.Join(m.git.dir, filledMarker))
	return err == nil
}

// update makes the mirror like the remote and reports whether anything changed. It
// asks for the refs first: mostly they are the same, and then one connection is all.
func (m *mirror) update(ctx context.Context) (changed bool, err error) {
	if err := m.lock(ctx); err != nil {
		return false, err
	}
	defer m.unlock()
	listCtx, cancel := context.WithTimeoutCause(ctx, listTimeout, errors.New("the remote did not list its refs in time"))
	defer cancel()
	out, err := m.git.output(listCtx, nil, "ls-remote", "--symref", "--", m.repo.URL())
	if err != nil {
		return false, err
	}
	remote, err := parseRemoteRefs(out)
	if err != nil {
		return false, err
	}
	local, err := m.refs(ctx)
	if err != nil {
		return false, err
	}
	if !sameRefs(remote.refs, local) {
		changed = true
		if err := m.fetch(ctx); err != nil {
			return false, err
		}
	}
	if err := m.setHead(ctx, remote); err != nil {
		return false, err
	}
	if !m.filled() {
		return changed, os.WriteFile(filepath.Join(m.git.dir, filledMarker), nil, 0o644)
	}
	return changed, nil
}

func (m *mirror) fetch(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, transferTimeout, errors.New("the fetch from the remote took too long"))
	defer cancel()
	_, err := m.git.output(ctx, nil, "fetch", "--quiet", "--prune", "--no-tags", "--force", "--no-write-fetch-head",
		"--no-recurse-submodules", "--no-auto-maintenance", "--", m.repo.URL(), "+refs/*:refs/*")
	return err
}

// refs are the mirror's refs with their object names.
func (m *mirror) refs(ctx context.Context) (map[string]string, error) {
	out, err := m.git.output(ctx, nil, "for-each-ref", "--format=%(objectname) %(refname)")
	if err != nil {
		return nil, err
	}
	refs := map[string]string{}
	for line := range strings.Lines(string(out)) {
		oid, ref, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		refs[ref] = oid
	}
	return refs, nil
}

func sameRefs(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for ref, oid := range a {
		if b[ref] != oid {
			return false
		}
	}
	return true
}

// setHead lets HEAD follow the remote's, which is how a clone finds its branch.
func (m *mirror) setHead(ctx context.Context, remote remoteRefs) error {
	now, err := os.ReadFile(filepath.Join(m.git.dir, "HEAD"))
	if err != nil {
		return err
	}
	switch {
	case remote.headRef != "":
		if string(now) == "ref: "+remote.headRef+"\n" {
			return nil
		}
		_, err = m.git.output(ctx, nil, "symbolic-ref", "HEAD", remote.headRef)
	case remote.head != "" && string(now) != remote.head+"\n":
		_, err = m.git.output(ctx, nil, "update-ref", "--no-deref", "HEAD", remote.head)
	}
	return err
}

// tidy packs what many fetches and pushes left behind, when there is enough of it.
func (m *mirror) tidy(ctx context.Context) error {
	if err := m.lock(ctx); err != nil {
		return err
	}
	defer m.unlock()
	_, err := m.git.output(ctx, nil, "gc", "--auto", "--quiet")
	return err
}

// remoteRefs is what a remote lists.
type remoteRefs struct {
	refs    map[string]string // ref → object name, below refs/
	headRef string            // what HEAD points at; empty when it is detached or points at nothing
	head    string            // HEAD's object name; empty for none
}

// parseRemoteRefs reads the output of git ls-remote --symref.
func parseRemoteRefs(out []byte) (remoteRefs, error) {
	r := remoteRefs{refs: map[string]string{}}
	for line := range bytes.Lines(out) {
		value, name, ok := strings.Cut(strings.TrimSuffix(string(line), "\n"), "\t")
		target, symbolic := strings.CutPrefix(value, "ref: ")
		switch {
		case !ok || !symbolic && !isObjectName(value) || symbolic && !isRefName(target):
			return remoteRefs{}, errors.New("the remote lists its refs in a way that the gate does not know")
		case symbolic && name == "HEAD":
			r.headRef = target
		case name == "HEAD":
			r.head = value
		case symbolic, strings.HasSuffix(name, "^{}"): // another symbolic ref, or what a tag points at
		case !isRefName(name):
			return remoteRefs{}, errors.New("the remote lists a ref whose name git does not allow")
		default:
			r.refs[name] = value
		}
	}
	return r, nil
}
