package gate

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/podbottle/podbottle/internal/gitgate"
)

// maxOldFile bounds the earlier version of a file that is compared. A finding in a
// larger one counts as new.
const maxOldFile = 64 << 20

// change is one file or directory that a commit differs in from one of its parents.
type change struct {
	old, new string // object names; all zeros for none
	path     string
}

// commit is one new commit with its changes against each of its parents.
type commit struct {
	oid, tree string
	parents   []string
	changes   []change
}

// locate names the commit and the whole path of every hit in a file or a file name,
// and drops the hits that the remote has already. A blob that is new may be an old
// file with one line changed: what stood in every earlier version of it, at the same
// path in the commit's parents, is known to the remote or is found there itself.
func locate(ctx context.Context, g git, updates []gitgate.Update, hits []hit) ([]hit, error) {
	wanted := map[string]bool{}
	for _, h := range hits {
		if h.Place == gitgate.PlaceFile || h.Place == gitgate.PlaceName {
			wanted[h.object] = true
		}
	}
	if len(wanted) == 0 {
		return hits, nil
	}
	commits, err := changes(ctx, g, updates, wanted)
	if err != nil {
		return nil, err
	}
	kept := hits[:0:0]
	for _, h := range hits {
		if h.Place == gitgate.PlaceFile || h.Place == gitgate.PlaceName {
			isNew, err := attribute(ctx, g, commits, &h)
			if err != nil {
				return nil, err
			}
			if !isNew {
				continue
			}
		}
		kept = append(kept, h)
	}
	return kept, nil
}

// changes lists the new commits, children before parents, each with the changes that bring a wanted object.
func changes(ctx context.Context, g git, updates []gitgate.Update, wanted map[string]bool) ([]commit, error) {
	args := []string{
		"log", "--topo-order", "--no-color", "--no-decorate", "--format=C %H %T %P", "--root", "-m", "-r", "-t", "--raw", "-z",
		"--no-renames", "--no-abbrev", "--no-show-signature", "--ignore-submodules=none", "--no-ext-diff", "--no-textconv",
	}
	out, err := g.output(ctx, tips(updates), append(args, newObjects...)...)
	if err != nil {
		return nil, err
	}
	return parseChanges(out, wanted)
}

var errLog = errors.New("git log printed what the gate does not know")

// parseChanges reads the log: fields that end with NUL. "C <commit> <tree> <parents>"
// stands once for each parent; after it ":<mode> <mode> <old> <new> <status>" and
// the path, in turn. Only the changes to a wanted object are kept, and the commits
// that have such a change or a wanted tree.
func parseChanges(out []byte, wanted map[string]bool) ([]commit, error) {
	var all []commit
	var c commit
	keep := func() {
		if len(c.changes) > 0 || wanted[c.tree] {
			all = append(all, c)
		}
	}
	fields := bytes.Split(bytes.TrimSuffix(out, []byte{0}), []byte{0})
	if len(out) == 0 {
		return nil, nil
	}
	for i := 0; i < len(fields); i++ {
		field := strings.TrimPrefix(string(fields[i]), "\n")
		switch {
		case strings.HasPrefix(field, "C "):
			names := strings.Fields(field[2:])
			if len(names) < 2 {
				return nil, errLog
			}
			if names[0] != c.oid {
				keep()
				c = commit{oid: names[0], tree: names[1], parents: names[2:]}
			}
		case strings.HasPrefix(field, ":") && i+1 < len(fields):
			parts := strings.Fields(field)
			if len(parts) != 5 {
				return nil, errLog
			}
			i++
			if wanted[parts[3]] {
				c.changes = append(c.changes, change{old: parts[2], new: parts[3], path: string(fields[i])})
			}
		default:
			return nil, errLog
		}
	}
	keep()
	return all, nil
}

// attribute decides whether a hit is new, and sets its commit and path. Commits are
// looked at from the oldest, and the first that brings the object decides: later
// ones only move or restore it. A parent's version that the decision rests on is of
// an earlier commit, where it was decided before, or of one that the remote has. A
// hit in an object that no commit has, as of a tag on a file, is new.
func attribute(ctx context.Context, g git, commits []commit, h *hit) (isNew bool, err error) {
	seen := false
	for _, c := range slices.Backward(commits) {
		versions := c.versions(h.object)
		if h.Place == gitgate.PlaceName && c.tree == h.object {
			if versions[""], err = rootVersions(ctx, g, c); err != nil {
				return false, err
			}
		}
		for _, path := range slices.Sorted(maps.Keys(versions)) {
			seen = true
			if len(versions[path]) < len(c.parents) {
				continue // a parent has the very same object there
			}
			if isNew, err = introduces(ctx, g, versions[path], *h); isNew && err == nil {
				err = h.brought(ctx, g, c.oid, path)
			}
			return isNew, err
		}
	}
	return !seen, nil
}

// rootVersions are the root trees of a commit's parents.
func rootVersions(ctx context.Context, g git, c commit) ([]string, error) {
	var trees []string
	for _, parent := range c.parents {
		out, err := g.output(ctx, nil, "rev-parse", "--verify", parent+"^{tree}")
		if err != nil {
			return nil, err
		}
		if tree := strings.TrimSpace(string(out)); tree != c.tree {
			trees = append(trees, tree)
		}
	}
	return trees, nil
}

// versions maps each path at which the commit has the object, where a parent has
// something else, to what the parents have there.
func (c commit) versions(object string) map[string][]string {
	versions := map[string][]string{}
	for _, ch := range c.changes {
		if ch.new == object {
			versions[ch.path] = append(versions[ch.path], ch.old)
		}
	}
	return versions
}

// introduces reports whether none of the parents' versions has the hit.
func introduces(ctx context.Context, g git, olds []string, h hit) (bool, error) {
	for _, old := range olds {
		if strings.Trim(old, "0") == "" {
			continue
		}
		has, err := hasAlready(ctx, g, old, h)
		if has || err != nil {
			return false, err
		}
	}
	return true, nil
}

// hasAlready reports whether an earlier version of the hit's object has it too.
func hasAlready(ctx context.Context, g git, old string, h hit) (bool, error) {
	if h.secret == "" {
		return true, nil // the file is refused for its name or kind, and it was there
	}
	kind := "blob"
	if h.Place == gitgate.PlaceName {
		kind = "tree"
	}
	size, err := g.output(ctx, nil, "cat-file", "-s", old)
	if err != nil {
		return false, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(size)), 10, 64)
	if err != nil || n > maxOldFile {
		return false, err
	}
	content, err := g.output(ctx, nil, "cat-file", kind, old)
	if exited(err, 128) {
		return false, nil // a file became a directory, or the other way round
	}
	return bytes.Contains(content, []byte(h.asWritten())), err
}

// brought sets where the hit is. path is the object's; for a name in a directory the
// name is added, and the line, which counted the directory's entries, goes.
func (h *hit) brought(ctx context.Context, g git, commit, path string) error {
	h.Commit, h.Path = commit, path
	if h.Place != gitgate.PlaceName {
		return nil
	}
	out, err := g.output(ctx, nil, "ls-tree", "-z", "--name-only", h.object)
	if err != nil {
		return err
	}
	h.Path = h.named(strings.Split(string(out), "\x00"))
	h.Line = 0
	return nil
}
