package verify

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/podbottle/podbottle/internal/bottle"
	"github.com/podbottle/podbottle/internal/breakage"
	"github.com/podbottle/podbottle/internal/verify/probe"
)

func copiesProbes() []hostProbe {
	return []hostProbe{
		{Probe: probe.Probe{
			ID:      "copies.trees",
			Tried:   "copy out trees with links that lead out, devices, pipes, sockets, setuid files, sparse files and names that upset a terminal",
			Control: "an ordinary tree arrives",
			Breach:  "a link leads out of the copy, something but files and directories arrives, or a file beside it changes",
		}, run: copiesProbe, own: true},
		{Probe: probe.Probe{
			ID:      "copies.settings",
			Tried:   "copy out a repository in which git, an editor or an agent would run what the agent has written: hooks, fsmonitor, filters, aliases and ssh commands, submodules by ext::, a bare repository and a file .git inside of it",
			Control: "the files arrive; an ordinary one is not named",
			Breach:  "podbottle does not name one of them",
		}, run: settingsProbe, own: true},
		{Probe: probe.Probe{
			ID: "copies.back",
			Tried: "copy out over what is there: directories and files that are there, others that are links there, a file and a directory that the agent has made links since an earlier copy, " +
				"and names that upset a terminal",
			Control: "a tree that is not there arrives; a file takes the place of a file",
			Breach:  "a file outside of the target changes, a directory that is there does, a link is followed or leads out, or what is said acts on a terminal",
		}, run: backProbe, own: true},
		{Probe: probe.Probe{
			ID: "copies.archives",
			Tried: "have the agent's end of a copy send archives of its own, and pass the same on as to standard output: names and links that lead out, absolute, by .., through links and by records of PAX and GNU tar, " +
				"hard links to links, devices, a name twice, sizes that are huge or no sizes",
			Control: "an honest archive is taken, to either",
			Breach:  "a file outside of the target changes, something leads out of it, or such a member is passed on",
		}, run: archivesProbe, own: true},
	}
}

// planted is the directory in the agent's home where it makes the trees that are
// copied out.
const planted = "podbottle-verify"

// copyOut copies one of the planted trees out of the bottle and returns what
// podbottle said.
func (r *run) copyOut(ctx context.Context, tree, to string) (said string, err error) {
	var out bytes.Buffer
	err = r.ownLauncher(&out, &out).Copy(ctx, bottle.Location{Slug: r.slug, Path: path.Join(planted, tree)}, bottle.Location{Path: to})
	return out.String(), err
}

// copiesProbe copies hostile trees out of the bottle.
func copiesProbe(ctx context.Context, r *run) probe.Result {
	mark := r.mark + "-copy-1"
	var trees []string
	if err := r.part(ctx, &trees, "plant", planted, mark); err != nil {
		return incomplete("nothing can be planted: %v", err)
	}
	// What lies beside the copies shall stay as it is.
	dir := filepath.Join(r.dir, "copies")
	victim := filepath.Join(dir, "victim")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(victim, []byte("old"), 0o600)); err != nil {
		return incomplete("%v", err)
	}
	if said, err := r.copyOut(ctx, probe.Ordinary, filepath.Join(dir, probe.Ordinary)); err != nil {
		return incomplete("an ordinary tree is not copied: %v %s", err, said)
	}
	if text, err := os.ReadFile(filepath.Join(dir, probe.Ordinary, "sub", "file")); err != nil || string(text) != mark { // #nosec G304 -- below a directory of ours
		return incomplete("an ordinary tree arrives as %q: %v", text, err)
	}
	refused := 0
	for _, tree := range trees {
		if tree == probe.Ordinary || tree == probe.Settings {
			continue
		}
		said, err := r.copyOut(ctx, tree, filepath.Join(dir, tree))
		if acting(said) != 0 {
			return breach("what is said about the tree %s acts on a terminal: %q", tree, said)
		}
		if err != nil {
			refused++
		}
	}
	breakCopies(dir)
	switch found, err := probe.Escaped(dir); {
	case err != nil:
		return incomplete("the copies cannot be looked at: %v", err)
	case found != "":
		return breach("after the copies %s", found)
	}
	if text, err := os.ReadFile(victim); err != nil || string(text) != "old" { // #nosec G304 -- ours
		return breach("a file beside the copies is %q now: %v", text, err)
	}
	return held("an ordinary tree arrived", "%d hostile trees: %d refused, the others without what was hostile", len(trees)-2, refused)
}

// settingsProbe copies a repository out on whose files programs of the host act.
func settingsProbe(ctx context.Context, r *run) probe.Result {
	to := filepath.Join(r.dir, "settings")
	said, err := r.copyOut(ctx, probe.Settings, to)
	if err != nil {
		return incomplete("%v %s", err, said)
	}
	if breakage.Has("settings") {
		said = ""
	}
	var missing []string
	named := map[string]bool{}
	_, list, _ := strings.Cut(said, "written: ")
	list, _, _ = strings.Cut(list, ". Look")
	for name := range strings.SplitSeq(list, ", ") {
		named[name] = true
	}
	for name, content := range probe.Planted {
		if text, err := os.ReadFile(filepath.Join(to, name)); err != nil || string(text) != content { // #nosec G304 -- below a directory of ours
			return incomplete("%s arrives as %q: %v", name, text, err)
		}
		switch {
		case name == probe.Harmless && named[probe.Settings+"/"+name]:
			return incomplete("%s is named too, so that the names say nothing", name)
		case name != probe.Harmless && !named[probe.Settings+"/"+name]:
			missing = append(missing, name)
		}
	}
	if slices.Sort(missing); len(missing) > 0 {
		return breach("the copy is not said to hold %s", strings.Join(missing, ", "))
	}
	return held("the files arrived; one that nothing acts on is not named", "podbottle cp names what programs of this machine would act on")
}
