package bottle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/podbottle/podbottle/internal/pod"
	"github.com/podbottle/podbottle/internal/quadlet"
	"github.com/podbottle/podbottle/internal/resolve"
	"github.com/podbottle/podbottle/internal/visible"
)

// Diff is what an installation would change in a bottle, in the unified format:
// units, the files that its containers mount, and its Containerfile. It is empty
// when nothing would, and holds no control characters.
func (l *Launcher) Diff(ctx context.Context, name string) (string, error) {
	record, err := l.installedUnits(name)
	if err != nil {
		return "", err
	}
	client, err := pod.Connect(ctx)
	if err != nil {
		return "", err
	}
	defer client.Close()
	d, err := l.quiet().design(ctx, client, record.Request, false)
	if err != nil {
		return "", err
	}
	changes, err := d.diff(record)
	return changes, errors.Join(err, d.close(false))
}

// diff compares the design with what is installed.
func (d *design) diff(record installed) (string, error) {
	old, err := d.installedTexts(record)
	if err != nil {
		return "", err
	}
	current, err := d.texts()
	if err != nil {
		return "", err
	}
	return diffTexts(old, current), nil
}

// diffUnits compares the design's units alone.
func (d *design) diffUnits(record installed) (string, error) {
	old, err := d.installedUnitTexts(record)
	return diffTexts(old, d.ownUnits()), err
}

// diffTexts compares two sets of files, by name.
func diffTexts(old, current map[string]string) string {
	names := slices.AppendSeq(slices.Collect(maps.Keys(old)), maps.Keys(current))
	slices.Sort(names)
	var out strings.Builder
	for _, name := range slices.Compact(names) {
		changes := diff.Diff("installed/"+name, []byte(old[name]), "manifest/"+name, []byte(current[name]))
		if len(changes) > 0 {
			out.WriteString(strings.Join(visible.Lines(string(changes)), "\n") + "\n")
		}
	}
	return out.String()
}

func (d *design) ownUnits() map[string]string {
	texts := map[string]string{}
	for _, u := range d.units {
		texts[u.Name] = u.Text
	}
	return texts
}

// texts are what an installation would write.
func (d *design) texts() (map[string]string, error) {
	texts := d.ownUnits()
	addSnapshot(texts, d.snapshot)
	if !d.hasBuild {
		return texts, nil
	}
	recipe, err := resolve.Recipe(d.plan)
	texts[path.Join("build", filepath.Base(d.plan.DockerfilePath))] = string(recipe)
	return texts, err
}

// installedTexts are what an installation wrote.
func (d *design) installedTexts(record installed) (map[string]string, error) {
	texts, err := d.installedUnitTexts(record)
	if err != nil {
		return nil, err
	}
	snapshot, err := d.readSnapshot(record.Request.Spec.Identity)
	if err != nil {
		return nil, err
	}
	addSnapshot(texts, snapshot)
	if record.Containerfile == "" {
		return texts, nil
	}
	recipe, err := os.ReadFile(filepath.Join(d.tree.build(), record.Containerfile))
	texts[path.Join("build", record.Containerfile)] = string(recipe)
	return texts, ignoreMissing(err)
}

// installedUnitTexts are the installed units as they are now. One that somebody
// removed is missing.
func (d *design) installedUnitTexts(record installed) (map[string]string, error) {
	texts := map[string]string{}
	for _, name := range record.Units {
		dir := d.quadletDir(record.Request.Spec.Identity)
		if (quadlet.Unit{Name: name}).IsTimer() {
			dir = d.timerDir()
		}
		text, err := os.ReadFile(filepath.Join(dir, name)) // #nosec G304 -- our own units
		if err = ignoreMissing(err); err != nil {
			return nil, err
		}
		texts[name] = string(text)
	}
	return texts, nil
}

// addSnapshot adds the files that containers mount, with what else a snapshot says of them.
func addSnapshot(texts map[string]string, s quadlet.Snapshot) {
	for _, e := range s.Files {
		content := string(e.Content)
		if e.Minted != "" {
			content = "minted at each start: " + e.Minted + "\n"
		}
		texts[path.Join("files", e.Path)] = content
	}
	var layout strings.Builder
	for _, e := range s.Files {
		fmt.Fprintf(&layout, "%v %s\n", e.Mode, e.Path)
	}
	for _, dir := range s.Dirs {
		fmt.Fprintf(&layout, "d--------- %s\n", dir)
	}
	texts["files"] = layout.String()
}

// ignoreMissing drops the error of a file that is not there.
func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
