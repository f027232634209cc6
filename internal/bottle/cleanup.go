package bottle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/podbottle/podbottle/internal/pod"
	"github.com/podbottle/podbottle/internal/state"
)

// leftover is one thing that cleanup removes.
type leftover struct {
	what   string // such as "pod bot-bottle-x-pod"
	remove func(context.Context) error
}

// imageID is an image without a name.
var imageID = regexp.MustCompile(`^image (?:sha256:)?([0-9a-f]{64})$`)

// shown are the lines for a list: an ID in them is cut to 12 digits as podman cuts it,
// or to as many as tell it from the others.
func shown(list []leftover) []string {
	lines := make([]string, len(list))
	for digits := 12; ; digits++ {
		full := map[string]string{} // by what is left of it
		unique := true
		for i, item := range list {
			lines[i] = item.what
			if match := imageID.FindStringSubmatch(item.what); match != nil {
				id := match[1]
				lines[i] = "image " + id[:digits]
				unique = unique && cmp.Or(full[lines[i]], id) == id
				full[lines[i]] = id
			}
		}
		if unique {
			return lines
		}
	}
}

// CleanupRequest says how far a cleanup goes.
type CleanupRequest struct {
	All    bool // running bottles and kept state too
	Images bool // what was made for any bottle, and none needs now, too
	Yes    bool // do not ask
	DryRun bool // only list
}

// Cleanup removes what dead bottles left: first it lists everything, then it asks
// once, then it removes what it can.
func (l *Launcher) Cleanup(ctx context.Context, r CleanupRequest) error {
	client, err := pod.Connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	list, err := l.leftovers(ctx, client, r)
	if err != nil {
		return err
	}
	var atWork []string // without All these are among what cleanup spares in any case
	if r.All {
		if atWork, err = l.atWork(); err != nil {
			return err
		}
	}
	for _, slug := range atWork {
		fmt.Fprintf(l.Err, "Left alone: %s, on which another podbottle works. To end it: podbottle stop %s\n", slug, slug)
	}
	if len(list) == 0 {
		fmt.Fprintln(l.Err, "Nothing to clean up.")
		return nil
	}
	for _, line := range shown(list) {
		fmt.Fprintln(l.Err, " ", line)
	}
	if r.DryRun {
		return nil
	}
	return l.removeAll(ctx, list, r.Yes)
}

// removeAll asks once and removes what it can.
func (l *Launcher) removeAll(ctx context.Context, list []leftover, yes bool) error {
	if !yes {
		if !l.Interactive {
			return errors.New("there is no terminal to ask on; say --yes to remove without asking")
		}
		answer, err := l.Ask(fmt.Sprintf("Remove these %d? [y/N] ", len(list)))
		if err != nil {
			return err
		}
		if !IsYes(answer) {
			return errors.New("nothing removed")
		}
	}
	var problems []error
	for _, item := range list {
		if err := item.remove(ctx); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", item.what, err))
		}
	}
	return errors.Join(problems...)
}

// leftovers finds what is to go. A bottle that another podbottle works on is
// left alone: it holds the bottle's lock.
func (l *Launcher) leftovers(ctx context.Context, client *pod.Client, r CleanupRequest) ([]leftover, error) {
	objects, err := client.Objects(ctx)
	if err != nil {
		return nil, err
	}
	bottles, err := client.List(ctx)
	if err != nil {
		return nil, err
	}
	spared, err := l.busy(bottles, r.All)
	ended := endedBottles(bottles)
	if err != nil {
		return nil, err
	}
	var list []leftover
	for _, o := range objects {
		kept := (o.Kind == "volume" || o.Kind == "image") && !r.All && (ended[o.Slug] || state.Preserved(l.Root, o.Slug))
		if spared[o.Slug] || kept || l.locked(o.Slug) {
			continue
		}
		list = append(list, leftover{o.Kind + " " + o.Name, func(ctx context.Context) error {
			if ended[o.Slug] && !r.All {
				if err := state.SetPreserve(l.Root, o.Slug); err != nil {
					return err
				}
			}
			return client.RemoveObject(ctx, o)
		}})
	}
	slugs, err := state.List(l.Root)
	if err != nil {
		return nil, err
	}
	for _, slug := range slugs {
		if spared[slug] || (!r.All && (ended[slug] || state.Preserved(l.Root, slug))) || l.locked(slug) {
			continue
		}
		list = append(list, leftover{"state of " + slug, func(context.Context) error { return removeState(l.Root, slug) }})
	}
	rests, err := l.restsOfCrashes()
	if err != nil {
		return nil, err
	}
	list = append(list, rests...)
	runtime, err := l.runtimeLeftovers(spared)
	if list = append(list, runtime...); err != nil || !r.Images {
		return list, err
	}
	spare, err := l.spareImages(ctx, client, len(bottles) > 0)
	return append(list, spare...), err
}

// busy names the bottles that cleanup must not touch. Those of systemd, running
// or not, are uninstalled or left alone.
func (l *Launcher) busy(bottles []pod.Summary, all bool) (map[string]bool, error) {
	spared := map[string]bool{}
	installed, err := l.installedNames()
	for _, name := range installed {
		spared[name] = true
	}
	for _, b := range bottles {
		alive := slices.Contains([]string{"running", "degraded"}, b.Status)
		if (alive && !all) || (!alive && l.locked(b.Slug)) {
			spared[b.Slug] = true
		}
	}
	return spared, err
}

// endedBottles names the bottles whose agent ran and ended with nobody there to
// see it: their homes may hold work, so they are kept like those that were seen.
func endedBottles(bottles []pod.Summary) map[string]bool {
	ended := map[string]bool{}
	for _, b := range bottles {
		if b.Status == "stopped" {
			ended[b.Slug] = true
		}
	}
	return ended
}

// locked tells whether a podbottle works on the bottle right now.
func (l *Launcher) locked(slug string) bool {
	tree, err := state.Of(l.Root, slug)
	if err != nil {
		return false
	}
	if _, err := os.Stat(tree.Dir()); err != nil {
		return false
	}
	lock, err := state.Lock(l.Root, slug)
	if err != nil {
		return errors.Is(err, state.ErrLocked)
	}
	_ = lock.Unlock()
	return false
}

// atWork names the bottles on which other podbottles work right now.
func (l *Launcher) atWork() ([]string, error) {
	slugs, err := state.List(l.Root)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slugs, func(slug string) bool { return !l.locked(slug) }), nil
}

// restsOfCrashes are what a podbottle that was killed left besides its bottle.
func (l *Launcher) restsOfCrashes() ([]leftover, error) {
	half, err := state.HalfRemoved(l.Root)
	if err != nil {
		return nil, err
	}
	services, err := pod.DeadServices()
	if err != nil {
		return nil, err
	}
	var list []leftover
	for _, dir := range half {
		list = append(list, leftover{"directory " + dir, func(context.Context) error { return pod.RemoveTree(dir) }})
	}
	for _, dir := range services {
		list = append(list, leftover{"directory " + dir, func(context.Context) error { return pod.RemoveDeadService(dir) }})
	}
	return list, nil
}

// runtimeLeftovers are the runtime directories of bottles that are no more.
func (l *Launcher) runtimeLeftovers(spared map[string]bool) ([]leftover, error) {
	root, err := pod.RuntimeRoot()
	if err != nil {
		return nil, err
	}
	base := filepath.Join(root, "podbottle")
	entries, err := os.ReadDir(base)
	if err != nil {
		return nil, nil // no bottle has ever run in this session
	}
	var list []leftover
	for _, entry := range entries {
		slug := entry.Name()
		if !state.ValidSlug(slug) || spared[slug] || l.locked(slug) {
			continue
		}
		dir := filepath.Join(base, slug)
		list = append(list, leftover{"runtime directory of " + slug, func(context.Context) error { return pod.RemoveTree(dir) }})
	}
	return list, nil
}
