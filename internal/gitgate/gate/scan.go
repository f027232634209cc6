package gate

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/podbottle/podbottle/internal/gitgate"
)

// maxHits ends a scan early: the push is refused, and nobody reads more.
const maxHits = 1000

// hit is a finding together with what it takes to tell whether it is new. It holds
// the secret and so stays in the process.
type hit struct {
	gitgate.Finding
	object string // the object it is in; empty for a ref's name
	match         // empty where a file is refused for its kind
}

// scanner looks through everything that a push would add to the remote.
type scanner struct {
	git      git // reads the objects, those in quarantine too
	detector *detector
	lfs      bool // pointers are allowed
	limit    int  // objects

	mu   sync.Mutex
	hits []hit
}

// listed is one new object; path is empty for commits, tags and root trees.
type listed struct{ oid, path string }

var errTooMany = errors.New("enough was found")

// limitError is a push that is larger than allowed.
type limitError struct{ what string }

func (e *limitError) Error() string { return e.what }

// scan returns what it found, and how many objects are new to the remote. What is
// looked at is decided by reachability alone: every object, of whatever kind, that
// the new refs reach and the mirror's refs do not. That is what git would send, and
// so attributes, renames and merges hide nothing, and content that a later commit
// of the same push removes is there.
func (s *scanner) scan(ctx context.Context, updates []gitgate.Update) (hits []hit, objects int, err error) {
	list, err := s.list(ctx, updates)
	if err != nil {
		return nil, 0, err
	}
	for _, u := range updates {
		if u.Creates() {
			name := piece{text: strings.TrimPrefix(u.Ref, "refs/"), found: hit{Finding: gitgate.Finding{Place: gitgate.PlaceRef, Ref: u.Ref}}}
			if err := s.detect(ctx, name); err != nil {
				return nil, 0, err
			}
		}
	}
	if err := s.read(ctx, list); err != nil && !errors.Is(err, errTooMany) {
		return nil, 0, err
	}
	hits, err = locate(ctx, s.git, updates, s.hits)
	return hits, len(list), err
}

// newObjects are the arguments of git for what the refs on stdin reach and the
// mirror's do not.
var newObjects = []string{"--stdin", "--not", "--all"}

// tips is the input for newObjects.
func tips(updates []gitgate.Update) io.Reader {
	var b strings.Builder
	for _, u := range updates {
		if !u.Deletes() {
			b.WriteString(u.New + "\n")
		}
	}
	return strings.NewReader(b.String())
}

func (s *scanner) list(ctx context.Context, updates []gitgate.Update) ([]listed, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := s.git.command(ctx, append([]string{"rev-list", "--objects"}, newObjects...)...)
	cmd.Stdin = tips(updates)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var list []listed
	lines := bufio.NewReader(stdout)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break
		}
		oid, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if list = append(list, listed{oid, name}); len(list) > s.limit {
			cancel()
			_ = cmd.Wait()
			return nil, &limitError{fmt.Sprintf("the push brings more than %d objects; push it in several parts", s.limit)}
		}
	}
	if err := cmd.Wait(); err != nil {
		return nil, newGitError(ctx, "rev-list", err, stderr.String())
	}
	return list, nil
}

// piece is a text on its way to the detector.
type piece struct {
	text, path string
	line       int // of its first line, from 1; 0 where lines mean nothing
	found      hit // what a finding in it begins with
}

// read sends every object through the detector, a worker a processor.
func (s *scanner) read(ctx context.Context, list []listed) error {
	group, ctx := errgroup.WithContext(ctx)
	pieces := make(chan piece, 4)
	group.Go(func() error {
		defer close(pieces)
		return s.objects(ctx, list, func(p piece) error {
			select {
			case pieces <- p:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	})
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() error {
			for p := range pieces {
				if err := s.detect(ctx, p); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// detect scans one piece.
func (s *scanner) detect(ctx context.Context, p piece) error {
	matches, err := s.detector.find(ctx, p.text, p.path)
	if err != nil {
		return err
	}
	for _, m := range matches {
		h := p.found
		h.Reason, h.Rule, h.Description, h.match = gitgate.ReasonSecret, m.rule, m.description, m
		if p.line > 0 {
			h.Line = p.line + m.line
		}
		if err := s.add(h); err != nil {
			return err
		}
	}
	return nil
}

func (s *scanner) add(h hit) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hits = append(s.hits, h); len(s.hits) >= maxHits {
		return errTooMany
	}
	return nil
}

// objects reads the objects from one git cat-file and yields their texts.
func (s *scanner) objects(ctx context.Context, list []listed, yield func(piece) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := s.git.command(ctx, "cat-file", "--batch", "--buffer")
	var names, stderr strings.Builder
	for _, l := range list {
		names.WriteString(l.oid + "\n")
	}
	cmd.Stdin, cmd.Stderr = strings.NewReader(names.String()), &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	r := bufio.NewReaderSize(stdout, 256<<10)
	for _, l := range list {
		if err := s.object(r, l, yield); err != nil {
			cancel()
			_ = cmd.Wait()
			return err
		}
	}
	if err := cmd.Wait(); err != nil {
		return newGitError(ctx, "cat-file", err, stderr.String())
	}
	return nil
}

// object reads one entry of cat-file --batch: "<object name> <type> <size>\n", the
// content, and a newline.
func (s *scanner) object(r *bufio.Reader, l listed, yield func(piece) error) error {
	head, err := r.ReadString('\n')
	if err != nil {
		return fmt.Errorf("object %s: %w", l.oid, err)
	}
	fields := strings.Fields(head)
	if len(fields) != 3 || fields[0] != l.oid {
		return fmt.Errorf("object %s is missing", l.oid)
	}
	size, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil {
		return fmt.Errorf("object %s: %w", l.oid, err)
	}
	content := &io.LimitedReader{R: r, N: size}
	if err := s.content(content, l, fields[1], size, yield); err != nil {
		return err
	}
	if content.N > 0 {
		return fmt.Errorf("object %s was not read to its end", l.oid)
	}
	_, err = r.Discard(1)
	return err
}

func (s *scanner) content(r io.Reader, l listed, kind string, size int64, yield func(piece) error) error {
	if kind == "blob" {
		return s.blob(r, l, size, yield)
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("object %s: %w", l.oid, err)
	}
	var parts []part
	found := hit{object: l.oid}
	switch kind {
	case "commit", "tag":
		parts = parseMessage(raw, kind == "tag")
		found.Commit = l.oid
	case "tree":
		names, err := treeNames(raw, len(l.oid)/2)
		if err != nil {
			return fmt.Errorf("object %s: %w", l.oid, err)
		}
		parts = []part{{gitgate.PlaceName, strings.Join(names, "\n") + "\n"}}
		found.Path = l.path
	default:
		return fmt.Errorf("object %s is of the unknown kind %s", l.oid, kind)
	}
	for _, p := range parts {
		found.Place = p.place
		err := eachChunk(strings.NewReader(p.text), func(text string, line int) error {
			return yield(piece{text: text, line: line, found: found})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *scanner) blob(r io.Reader, l listed, size int64, yield func(piece) error) error {
	found := hit{object: l.oid, Finding: gitgate.Finding{Place: gitgate.PlaceFile, Path: l.path}}
	return eachChunk(r, func(text string, line int) error {
		if line == 1 && !s.lfs && isLFSPointer(text, size) {
			pointer := found
			pointer.Reason = gitgate.ReasonLFS
			if err := s.add(pointer); err != nil {
				return err
			}
		}
		return yield(piece{text: text, path: l.path, line: line, found: found})
	})
}

// asWritten is the secret as it stands in its object: the line, where it is encoded.
func (h hit) asWritten() string {
	if h.decoded {
		return h.lines
	}
	return h.secret
}

// named is the line of a tree's text as the path that it stands for.
func (h hit) named(names []string) string {
	if i := h.Line - 1; i >= 0 && i < len(names) {
		return path.Join(h.Path, names[i])
	}
	return h.Path
}

// redacted returns what may be shown: the findings with every secret that was found
// replaced wherever a name or path holds it, and each place once.
func redacted(hits []hit) []gitgate.Finding {
	var findings []gitgate.Finding
	for _, h := range hits {
		f := h.Finding
		f.Path, f.Ref = redact(f.Path, hits), redact(f.Ref, hits)
		if !slices.Contains(findings, f) {
			findings = append(findings, f)
		}
	}
	return findings
}

// mask stands where a secret was.
const mask = "REDACTED"

func redact(s string, hits []hit) string {
	for _, h := range hits {
		if h.secret != "" {
			s = strings.ReplaceAll(s, h.secret, mask)
		}
	}
	return s
}
