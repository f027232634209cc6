package verify

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/podbottle/podbottle/internal/archive"
	"github.com/podbottle/podbottle/internal/bottle"
	"github.com/podbottle/podbottle/internal/verify/probe"
)

// sent is what became of one archive that the agent sent.
type sent struct {
	breach   string // empty for none
	problem  error  // it was not even sent
	refusals int    // for the directory and for standard output
}

// archivesProbe has the agent's end of a copy send archives of its own.
func archivesProbe(ctx context.Context, r *run) probe.Result {
	dir := filepath.Join(r.dir, "archives")
	if err := r.takesHonest(ctx, filepath.Join(dir, probe.Honest)); err != nil {
		return incomplete("an honest archive: %v", err)
	}
	const together = 4
	var mutex sync.Mutex
	var breaches, problems []string
	refused, names := 0, probe.HostileArchives()
	group := errgroup.Group{}
	group.SetLimit(together)
	for _, name := range names {
		group.Go(func() error {
			s := r.takes(ctx, name, filepath.Join(dir, name))
			mutex.Lock()
			defer mutex.Unlock()
			refused += s.refusals
			if s.problem != nil {
				problems = append(problems, fmt.Sprintf("%s: %v", name, s.problem))
			}
			if s.breach != "" {
				breaches = append(breaches, name+": "+s.breach)
			}
			return nil
		})
	}
	_ = group.Wait() // it has no errors
	slices.Sort(breaches)
	switch {
	case len(breaches) > 0:
		return breach("%s", strings.Join(breaches, "; "))
	case len(problems) > 0:
		return incomplete("%s", strings.Join(problems, "; "))
	}
	return held("an honest archive was taken, to a directory and to standard output", "%d archives, to either: %d refused, the others without what was hostile", len(names), refused)
}

// asked is what the archives are sent in place of.
func (r *run) asked() bottle.Location { return bottle.Location{Slug: r.slug, Path: probe.Archive} }

// takesHonest says why the honest archive is not taken.
func (r *run) takesHonest(ctx context.Context, parent string) error {
	t, err := newTarget(parent)
	if err != nil {
		return err
	}
	var out, said bytes.Buffer
	args := probe.SendArgs(probe.Honest, t.outside)
	if err := r.ownLauncher(&out, &said).CopyTrial(ctx, r.asked(), bottle.Location{Path: t.dir}, args); err != nil {
		return err
	}
	if err := r.ownLauncher(&out, &said).CopyTrial(ctx, r.asked(), bottle.Location{Path: "-"}, args); err != nil {
		return err
	}
	path := filepath.Join(t.dir, probe.Archive, "sub", "file")
	if text, err := os.ReadFile(path); err != nil || string(text) != probe.EveryByte() { // #nosec G304 -- below a directory of ours
		return fmt.Errorf("%s is %q: %w", path, text, err)
	}
	if text, found := out.String(), loose(out.Bytes()); !strings.Contains(text, probe.EveryByte()) || found != "" {
		return fmt.Errorf("on standard output it is %q: %s", text, found)
	}
	return nil
}

// takes has the archive of that name sent to a directory, and passed on as for standard
// output.
func (r *run) takes(ctx context.Context, name, parent string) (s sent) {
	t, err := newTarget(parent)
	if err != nil {
		return sent{problem: err}
	}
	args := probe.SendArgs(name, t.outside)
	var said, out bytes.Buffer
	switch err := r.ownLauncher(&out, &said).CopyTrial(ctx, r.asked(), bottle.Location{Path: t.dir}, args); {
	case err == nil:
	case strings.HasPrefix(err.Error(), "in the bottle: "):
		s.problem = err // what was to send it says so
	default:
		s.refusals++
	}
	// What goes to standard output comes the same way, so that it need not come again.
	if archive.Filter(&out, bytes.NewReader(probe.ArchiveStream(name, t.outside)), probe.Archive) != nil {
		s.refusals++
	}
	found, err := probe.Escaped(t.dir)
	switch passed, c := loose(out.Bytes()), acting(said.String()); {
	case t.touched() != "":
		s.breach = t.touched()
	case err != nil, found != "":
		s.breach = fmt.Sprintf("%s: %v", found, err)
	case passed != "":
		s.breach = "on standard output " + passed
	case c != 0:
		s.breach = fmt.Sprintf("what is said shows the character %U: %q", c, said.String())
	}
	return s
}

// loose says what of an archive, or of the beginning of one, would lead out of where it
// is unpacked, or is neither file, directory nor link there; empty for nothing.
func loose(stream []byte) string {
	links := map[string]bool{}
	in := func(name string) bool {
		return filepath.IsLocal(name) && (name == probe.Archive || strings.HasPrefix(name, probe.Archive+"/"))
	}
	for reader := tar.NewReader(bytes.NewReader(stream)); ; {
		h, err := reader.Next()
		if err != nil {
			return "" // the end, or where it was cut off
		}
		name, target := path.Clean(h.Name), h.Linkname
		if !in(name) || strings.Contains(h.Name, "..") {
			return fmt.Sprintf("the name %q", h.Name)
		}
		for above := path.Dir(name); above != "."; above = path.Dir(above) {
			if links[above] {
				return fmt.Sprintf("the name %q, below a link", h.Name)
			}
		}
		switch h.Typeflag {
		case tar.TypeReg, tar.TypeDir:
			if links[name] {
				return fmt.Sprintf("the name %q, of a link", h.Name)
			}
		case tar.TypeLink:
			if !in(target) || links[path.Clean(target)] {
				return fmt.Sprintf("%q as a hard link to %q", h.Name, target)
			}
		case tar.TypeSymlink:
			if links[name] = true; path.IsAbs(target) || !in(path.Join(path.Dir(name), target)) { // #nosec G305 -- nothing is unpacked
				return fmt.Sprintf("%q as a link to %q", h.Name, target)
			}
		default:
			return fmt.Sprintf("%q of the type %q", h.Name, h.Typeflag)
		}
		if fs.FileMode(h.Mode)&^fs.ModePerm != 0 { // #nosec G115 -- bits
			return fmt.Sprintf("%q with the mode %o", h.Name, h.Mode)
		}
	}
}
