package supervise

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"
)

// Queue is the directory in which the proposals of one bottle wait: one file
// ID.proposal.json each, ID.response.json beside it once it is decided, and both
// under processed/ when the server has taken the answer.
//
// Two users write to it: the sidecar, whose uid is a subordinate one on the host,
// and the operator. So the directory itself is open to all, inside a parent that
// only the operator can enter. The sidecar talks to the agent all day; the host
// takes whatever it finds here as if the agent had written it.
type Queue struct {
	dir  string
	root *os.Root
}

// Names and sizes in a queue.
const (
	proposalSuffix = ".proposal.json"
	responseSuffix = ".response.json"
	processedDir   = "processed"
	maxEntries     = 4096 // names read from one directory

	processedPrefix = processedDir + "/"
)

// ErrDecided says that a proposal has its answer already.
var ErrDecided = errors.New("the proposal has been decided already")

// ErrUnknown says that there is no such proposal.
var ErrUnknown = errors.New("there is no such proposal")

// CreateQueue makes the directory of a bottle's queue with the modes that let
// both sides work: dir's parent 0700, dir and what is in it open to the sidecar.
func CreateQueue(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return fmt.Errorf("queue %s: %w", dir, err)
	}
	if err := os.Chmod(filepath.Dir(dir), 0o700); err != nil {
		return fmt.Errorf("queue %s: %w", dir, err)
	}
	for _, d := range []string{dir, filepath.Join(dir, processedDir)} {
		if err := os.Mkdir(d, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("queue: %w", err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	defer root.Close()
	for _, name := range []string{".", processedDir} {
		if err := root.Chmod(name, 0o777); err != nil {
			return fmt.Errorf("queue %s: %w", dir, err)
		}
	}
	return nil
}

// OpenQueue opens an existing queue. The caller closes it.
func OpenQueue(dir string) (*Queue, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	return &Queue{dir: dir, root: root}, nil
}

// Close releases the directory.
func (q *Queue) Close() error { return q.root.Close() }

// Dir is the queue's path.
func (q *Queue) Dir() string { return q.dir }

// lockWait bounds how long Lock waits: the other side must not be able to hold
// this one up for good.
const lockWait = 5 * time.Second

// Lock keeps the other side from deciding, expiring or archiving until unlock is
// called. The lock is on the directory itself, so there is no file to exchange.
func (q *Queue) Lock(ctx context.Context) (unlock func(), err error) {
	lock := flock.New(q.dir, flock.SetFlag(os.O_RDONLY|unix.O_DIRECTORY))
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	if _, err := lock.TryLockContext(ctx, 2*time.Millisecond); err != nil {
		return nil, fmt.Errorf("queue %s is locked by another process: %w", q.dir, err)
	}
	return func() { _ = lock.Close() }, nil
}

// Submit writes a proposal.
func (q *Queue) Submit(p Proposal) error {
	if err := p.Validate(); err != nil {
		return err
	}
	return q.write(p.ID+proposalSuffix, p)
}

// Respond writes the answer to a proposal, once; a second gives ErrDecided. The
// caller holds the lock and has looked with Find that the proposal is pending.
func (q *Queue) Respond(r Response) error {
	if err := r.validate(); err != nil {
		return err
	}
	if _, err := q.root.Lstat(processedPrefix + r.ID + responseSuffix); err == nil {
		return ErrDecided
	}
	err := q.write(r.ID+responseSuffix, r)
	if errors.Is(err, fs.ErrExist) {
		return ErrDecided
	}
	return err
}

// write creates a file whole or not at all, and never replaces one.
func (q *Queue) write(name string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("queue: encode %s: %w", name, err)
	}
	if len(data) > MaxProposal {
		return fmt.Errorf("queue: %s is larger than %d bytes", name, MaxProposal)
	}
	temp := ".new-" + rand.Text()
	f, err := q.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	defer q.root.Remove(temp)
	_, err = f.Write(append(data, '\n'))
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err != nil {
		return fmt.Errorf("queue: write %s: %w", name, err)
	}
	if err := q.root.Link(temp, name); err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	return nil
}

// Entry is a proposal with its answer, which is nil while it waits.
type Entry struct {
	Proposal Proposal  `json:"proposal"`
	Response *Response `json:"response"`
}

// Pending returns the proposals without an answer, oldest first. Files that are
// not what they should be are left out; damaged lists why, for the operator.
func (q *Queue) Pending() (pending []Proposal, damaged []error) {
	names, err := q.names(".")
	if err != nil {
		return nil, []error{err}
	}
	for _, name := range names {
		id, ok := strings.CutSuffix(name, proposalSuffix)
		if !ok || !idPattern.MatchString(id) || slices.Contains(names, id+responseSuffix) {
			continue
		}
		p, err := q.proposal(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // archived meanwhile
		}
		if err != nil {
			damaged = append(damaged, err)
			continue
		}
		pending = append(pending, p)
	}
	slices.SortStableFunc(pending, func(a, b Proposal) int { return a.Time.Compare(b.Time) })
	return pending, damaged
}

// Decided returns the newest proposals that have their answer, at most so many, newest first.
func (q *Queue) Decided(most int) ([]Entry, []error) {
	files, damaged := q.answers()
	var entries []Entry
	for _, f := range files[:min(most, len(files))] {
		entry, err := q.read(f.prefix, f.id)
		if errors.Is(err, fs.ErrNotExist) && f.prefix == "" {
			entry, err = q.read(processedPrefix, f.id) // archived meanwhile
		}
		switch {
		case err == nil && entry.Response != nil:
			entries = append(entries, entry)
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			damaged = append(damaged, fmt.Errorf("%s%s: %w", f.prefix, f.id, err))
		}
	}
	slices.SortStableFunc(entries, func(a, b Entry) int {
		return cmp.Or(b.Response.Time.Compare(a.Response.Time), strings.Compare(a.Proposal.ID, b.Proposal.ID))
	})
	return entries, damaged
}

// answerFile is the file of an answer, in the queue or archived.
type answerFile struct {
	prefix, id string
	written    time.Time
}

// answers lists the files of answers, newest first, without reading any: an archive of
// the largest proposals is more than a call should read.
func (q *Queue) answers() (files []answerFile, damaged []error) {
	listed := map[string]bool{}
	for _, prefix := range []string{"", processedPrefix} {
		names, err := q.names(cmp.Or(strings.TrimSuffix(prefix, "/"), "."))
		if err != nil {
			damaged = append(damaged, err)
		}
		for _, name := range names {
			id, ok := strings.CutSuffix(name, responseSuffix)
			if !ok || !idPattern.MatchString(id) {
				continue
			}
			// While a file is moved it is in both places.
			if info, err := q.root.Lstat(prefix + name); err == nil && !listed[id] {
				listed[id] = true
				files = append(files, answerFile{prefix, id, info.ModTime()})
			}
		}
	}
	slices.SortStableFunc(files, func(a, b answerFile) int { return b.written.Compare(a.written) })
	return files, damaged
}

// IDs lists the IDs that begin with prefix, of the proposals that wait and of those
// that are archived.
func (q *Queue) IDs(prefix string) ([]string, error) {
	var ids []string
	for _, dir := range []string{".", processedDir} {
		names, err := q.names(dir)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			id, ok := strings.CutSuffix(name, proposalSuffix)
			if ok && idPattern.MatchString(id) && strings.HasPrefix(id, prefix) && !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	return ids, nil
}

// Find returns one proposal by its ID, waiting or archived; ErrUnknown otherwise.
func (q *Queue) Find(id string) (Entry, error) {
	if !idPattern.MatchString(id) {
		return Entry{}, ErrUnknown
	}
	entry, err := q.read("", id)
	if errors.Is(err, fs.ErrNotExist) {
		entry, err = q.read(processedPrefix, id)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return Entry{}, ErrUnknown
	}
	return entry, err
}

// Archive moves a decided proposal and its answer under processed/. Only the
// server does so, when it has read the answer. A reader without the lock never
// sees the proposal without its answer, and an interrupted call is completed by
// the next.
func (q *Queue) Archive(id string) error {
	data, err := q.readFile(id + responseSuffix)
	if err != nil {
		return fmt.Errorf("queue: archive %s: %w", id, err)
	}
	response, err := ParseResponse(data)
	if err != nil {
		return fmt.Errorf("queue: archive %s: %w", id, err)
	}
	// A copy, since the kernel lets nobody link a file of another user (fs.protected_hardlinks).
	if err := q.write(processedPrefix+id+responseSuffix, response); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := q.root.Rename(id+proposalSuffix, processedPrefix+id+proposalSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("queue: archive %s: %w", id, err)
	}
	if err := q.root.Remove(id + responseSuffix); err != nil {
		return fmt.Errorf("queue: archive %s: %w", id, err)
	}
	return nil
}

// Answered returns the IDs of the proposals that have an answer and are not archived yet.
func (q *Queue) Answered() ([]string, error) {
	names, err := q.names(".")
	var ids []string
	for _, name := range names {
		if id, ok := strings.CutSuffix(name, responseSuffix); ok && idPattern.MatchString(id) {
			ids = append(ids, id)
		}
	}
	return ids, err
}

// Prune removes the oldest answered proposals beyond the newest keep.
func (q *Queue) Prune(keep int) error {
	files, errs := q.answers()
	for _, f := range files[min(keep, len(files)):] {
		if f.prefix == "" {
			continue // has not been taken yet
		}
		for _, suffix := range []string{proposalSuffix, responseSuffix} {
			if err := q.root.Remove(f.prefix + f.id + suffix); !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// Waiting counts the proposals without an answer by the names in dir alone,
// without reading them; 0 where there is no queue.
func Waiting(dir string) (int, error) {
	q, err := OpenQueue(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer q.Close()
	names, err := q.names(".")
	count := 0
	for _, name := range names {
		id, ok := strings.CutSuffix(name, proposalSuffix)
		if ok && idPattern.MatchString(id) && !slices.Contains(names, id+responseSuffix) {
			count++
		}
	}
	return count, err
}

func (q *Queue) names(dir string) ([]string, error) {
	f, err := q.root.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	defer f.Close()
	names, err := f.Readdirnames(maxEntries)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("queue %s: %w", q.dir, err)
	}
	slices.Sort(names)
	return names, nil
}

func (q *Queue) read(prefix, id string) (Entry, error) {
	p, err := q.proposal(prefix + id + proposalSuffix)
	if err != nil {
		return Entry{}, err
	}
	data, err := q.readFile(prefix + id + responseSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return Entry{Proposal: p}, nil
	}
	if err != nil {
		return Entry{}, err
	}
	r, err := ParseResponse(data)
	if err != nil {
		return Entry{}, err
	}
	if r.ID != id {
		return Entry{}, fmt.Errorf("response %s answers another proposal", id)
	}
	return Entry{Proposal: p, Response: &r}, nil
}

func (q *Queue) proposal(name string) (Proposal, error) {
	data, err := q.readFile(name)
	if err != nil {
		return Proposal{}, err
	}
	p, err := ParseProposal(data)
	if err != nil {
		return Proposal{}, fmt.Errorf("%s: %w", name, err)
	}
	if filepath.Base(name) != p.ID+proposalSuffix {
		return Proposal{}, fmt.Errorf("%s: the file's name is not the proposal's ID", name)
	}
	return p, nil
}

// readFile reads a regular file of bounded size. It follows no link and does not
// wait for the writer of a pipe.
func (q *Queue) readFile(name string) ([]byte, error) {
	f, err := q.root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	defer f.Close()
	data, err := readBounded(f, name, MaxProposal)
	if err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	return data, nil
}
