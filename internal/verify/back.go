package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/podbottle/podbottle/internal/bottle"
	"github.com/podbottle/podbottle/internal/verify/probe"
)

// target is a directory that copies go to, with one beside it that no copy may touch.
type target struct{ dir, outside string }

func newTarget(parent string) (target, error) {
	t := target{filepath.Join(parent, "target"), filepath.Join(parent, probe.Outside)}
	return t, errors.Join(
		os.MkdirAll(t.dir, 0o700), os.Mkdir(t.outside, 0o700),
		os.WriteFile(filepath.Join(t.outside, probe.Victim), []byte("old"), 0o600),
	)
}

// touched says what has become of what lies beside the target; empty for nothing.
func (t target) touched() string {
	parent := filepath.Dir(t.dir)
	entries, err := os.ReadDir(parent)
	if err != nil || len(entries) != 2 {
		return fmt.Sprintf("%s holds %v now: %v", parent, entries, err)
	}
	entries, err = os.ReadDir(t.outside)
	if err != nil || len(entries) != 1 {
		return fmt.Sprintf("%s holds %v now: %v", t.outside, entries, err)
	}
	victim := filepath.Join(t.outside, probe.Victim)
	if text, err := os.ReadFile(victim); err != nil || string(text) != "old" { // #nosec G304 -- ours
		return fmt.Sprintf("%s is %q now: %v", victim, text, err)
	}
	return ""
}

// overDir is the directory in the agent's home where it makes what is copied over
// what is there.
const overDir = "podbottle-verify-over"

// overTarget is a target with what is there already.
func overTarget(parent string) (target, error) {
	t, err := newTarget(parent)
	in := func(name string) string { return filepath.Join(t.dir, name) }
	return t, errors.Join(
		err, os.WriteFile(in(probe.OverFile), []byte("old"), 0o600),
		os.Mkdir(in(probe.OverTree), 0o700), os.WriteFile(in(probe.OverTree+"/"+probe.Victim), []byte("old"), 0o600),
		os.Symlink("../"+probe.Outside, in(probe.OverLib)),
		os.Symlink(filepath.Join(t.outside, probe.Victim), in(probe.OverConfig)),
	)
}

// backProbe copies over what is there.
func backProbe(ctx context.Context, r *run) probe.Result {
	mark := r.mark + "-over-1"
	t, err := overTarget(filepath.Join(r.dir, "over"))
	if err != nil {
		return incomplete("%v", err)
	}
	var said bytes.Buffer
	copied := func(name, to string) error {
		from := bottle.Location{Slug: r.slug, Path: path.Join(overDir, name)}
		return r.ownLauncher(&said, &said).Copy(ctx, from, bottle.Location{Path: filepath.Join(t.dir, to)})
	}
	var done bool
	if err := r.part(ctx, &done, "over", overDir, mark, "at-first"); err != nil {
		return incomplete("nothing can be made to be copied: %v", err)
	}
	honest := filepath.Join(t.dir, probe.OverHonest, "sub", "file")
	file := filepath.Join(t.dir, probe.OverFile)
	if err := errors.Join(copied(probe.OverHonest, ""), copied(probe.OverFile, probe.OverFile), copied(probe.OverLinked, "")); err != nil {
		return incomplete("what is harmless is not copied: %v", err)
	}
	arrived := map[string]string{honest: mark + probe.EveryByte(), file: mark}
	if path := otherThan(arrived); path != "" {
		return incomplete("what is harmless does not arrive: %s", path)
	}
	refused, hostile := 0, 0
	try := func(name, to string) {
		hostile++
		if copied(name, to) != nil {
			refused++
		}
	}
	try(probe.OverTree, "")
	try(probe.OverLib, "")
	try(probe.OverConfig, "")
	try(probe.OverConfig, probe.OverConfig)
	try(probe.OverNames, "")
	if err := r.part(ctx, &done, "over", overDir, mark, "then"); err != nil {
		return incomplete("the agent cannot change what was copied: %v", err)
	}
	try(probe.OverFile, probe.OverFile)
	try(probe.OverHonest, "")
	try(probe.OverHonest+"/sub", probe.OverHonest)
	try(probe.OverHonest, "again")
	try(probe.OverLinked+"/a", probe.OverLinked)
	if what := t.touched(); what != "" {
		return breach("%s", what)
	}
	arrived[filepath.Join(t.dir, probe.OverTree, probe.Victim)] = "old"
	arrived[filepath.Join(t.dir, probe.OverLinked, "b", probe.Victim)] = mark
	if path := otherThan(arrived); path != "" {
		return breach("%s, which was there, is another now", path)
	}
	if entries, err := os.ReadDir(filepath.Join(t.dir, probe.OverTree)); err != nil || len(entries) != 1 {
		return breach("the directory %s, which was there, holds %v now: %v", probe.OverTree, entries, err)
	}
	// The two links that were there are the user's own.
	if err := errors.Join(removeLink(filepath.Join(t.dir, probe.OverLib)), removeLink(filepath.Join(t.dir, probe.OverConfig))); err != nil {
		return breach("a link that was there has been replaced: %v", err)
	}
	if found, err := probe.Escaped(t.dir); err != nil || found != "" {
		return breach("after the copies %s: %v", found, err)
	}
	if c := acting(said.String()); c != 0 {
		return breach("what is said shows the character %U: %q", c, said.String())
	}
	if !strings.Contains(said.String(), "52;c;b3duZWQ=") {
		return incomplete("nothing is said about the names that upset a terminal: %q", said.String())
	}
	return held("a tree arrived, a file took the place of a file", "%d copies over what is there: %d refused, the others without what was hostile", hostile, refused)
}

// otherThan returns a path whose file is not there or has not the text that is wanted;
// empty for none.
func otherThan(want map[string]string) string {
	for path, text := range want {
		if got, err := os.ReadFile(path); err != nil || string(got) != text { // #nosec G304 -- below a directory of ours
			return path
		}
	}
	return ""
}

// removeLink removes a symbolic link and nothing else.
func removeLink(path string) error {
	if _, err := os.Readlink(path); err != nil {
		return err
	}
	return os.Remove(path)
}
