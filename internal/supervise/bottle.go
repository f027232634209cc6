package supervise

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Bottle is where the operator's side finds and changes the parts of one bottle.
type Bottle struct {
	Slug  string
	Queue string // directory
	Audit string // the host's audit file of decisions

	Routes       string // egress's live route table
	RoutesStatus string // egress's report on it
	Secrets      string // directory of egress's tokens
	Firewall     string // the firewall's live configuration
	// ReloadFirewall returns when the firewall works with its replaced configuration.
	ReloadFirewall func(context.Context) error

	// Manifest finds the bottle's file in the manifest, or says why there is none.
	Manifest func() (ManifestFile, error)

	// Containerfile is the current one, for a diff; it may be missing.
	Containerfile string
	// Rebuild is what a capability-block approval does.
	Rebuild Rebuild
}

// Rebuild are the steps that take a bottle into a new image. The agent's home and
// workspace are on a volume and outlive its container.
type Rebuild struct {
	// Check says why a Containerfile cannot be approved, whoever wrote it; nil checks nothing.
	Check func(containerfile []byte) error
	// Build builds the image before anything is decided; nil where the bottle's next start
	// builds it. What it leaves is harmless without Write.
	Build func(ctx context.Context, containerfile []byte) error
	// Write makes the Containerfile the bottle's own and marks its state as to be kept.
	// When it fails nothing is changed.
	Write func(ctx context.Context, containerfile []byte) error
	// Withdraw takes Write back.
	Withdraw func(context.Context) error
	// TakeDown stops the bottle, and starts it again where its owner is systemd. Whoever
	// has the agent's terminal is told why.
	TakeDown func(context.Context) error
	// Follows is what becomes of the bottle, in a sentence for the operator and the agent.
	Follows string
	// Mend is what to type when TakeDown fails.
	Mend string
}

// ErrNotRunning says that there is no live route table to change.
var ErrNotRunning = errors.New("the bottle is not running")

// Pending returns the bottle's proposals without an answer, and what was wrong with others.
func (b Bottle) Pending() ([]Proposal, []error) {
	q, err := OpenQueue(b.Queue)
	if err != nil {
		return nil, []error{err}
	}
	defer q.Close()
	pending, damaged := q.Pending()
	return b.own(pending, damaged)
}

// own leaves out proposals that name another bottle than their queue's.
func (b Bottle) own(pending []Proposal, damaged []error) ([]Proposal, []error) {
	var own []Proposal
	for _, p := range pending {
		if p.Slug != b.Slug {
			damaged = append(damaged, fmt.Errorf("proposal %s names another bottle", p.ID))
			continue
		}
		own = append(own, p)
	}
	return own, damaged
}

// Find returns one of the bottle's proposals, waiting or decided.
func (b Bottle) Find(id string) (Entry, error) {
	q, err := OpenQueue(b.Queue)
	if err != nil {
		return Entry{}, err
	}
	defer q.Close()
	entry, err := q.Find(id)
	if err == nil && entry.Proposal.Slug != b.Slug {
		return Entry{}, ErrUnknown
	}
	return entry, err
}

// maxDecided is how many answered proposals of a bottle are read.
const maxDecided = 200

// findAll returns the bottle's proposals whose ID begins with prefix. What cannot be
// read is left out.
func (b Bottle) findAll(prefix string) ([]Entry, error) {
	q, err := OpenQueue(b.Queue)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	ids, err := q.IDs(prefix)
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for _, id := range ids {
		if entry, err := q.Find(id); err == nil && entry.Proposal.Slug == b.Slug {
			entries = append(entries, entry)
		}
	}
	return entries, nil
}

// Decided returns the bottle's proposals that have an answer, newest first.
func (b Bottle) Decided() ([]Entry, []error) {
	q, err := OpenQueue(b.Queue)
	if err != nil {
		return nil, []error{err}
	}
	defer q.Close()
	entries, damaged := q.Decided(maxDecided)
	return slices.DeleteFunc(entries, func(e Entry) bool { return e.Proposal.Slug != b.Slug }), damaged
}

// Preview works out what approving ask would do to the live routes and the firewall.
func (b Bottle) Preview(ask Ask, now, until time.Time) (Change, error) {
	table, err := b.readRoutes()
	if err != nil {
		return Change{}, err
	}
	c, err := Effect(ask, table, now, until)
	if err != nil {
		return Change{}, err
	}
	config, err := readRegular(b.Firewall, maxTable)
	if err != nil {
		return Change{}, fmt.Errorf("the firewall's configuration: %w", err)
	}
	return c.withFirewall(config, until)
}

// maxTable bounds the files that the sidecars' directories hold.
const maxTable = 4 << 20

func (b Bottle) readRoutes() ([]byte, error) {
	table, err := readRegular(b.Routes, maxTable)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", b.Slug, ErrNotRunning)
	}
	return table, err
}

// CurrentContainerfile is what a capability-block proposal would replace; empty when there is none.
func (b Bottle) CurrentContainerfile() ([]byte, error) {
	data, err := readRegular(b.Containerfile, maxContainerfile)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// readRegular reads a regular file of bounded size, without following a link at
// its end and without waiting for the writer of a pipe.
func readRegular(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readBounded(f, filepath.Base(path), limit)
}

func readBounded(f *os.File, name string, limit int64) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, limit)
	}
	return data, nil
}

func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
