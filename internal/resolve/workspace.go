package resolve

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"

	"github.com/podbottle/podbottle/internal/buildcontext"
)

// Workspace is the copy of the user's directory that goes into a derived image.
type Workspace struct {
	Dir string `json:"dir"` // on the host
	// IgnoreFile is the .containerignore or .dockerignore that was honoured; empty for none.
	IgnoreFile string `json:"ignore_file,omitempty"`
	buildcontext.Size
}

// measureWorkspace counts what would be copied, for the preflight.
func measureWorkspace(host Host, dir string) (*Workspace, error) {
	if holdsState(host, dir) {
		return nil, fmt.Errorf("--cwd would give the agent a copy of %s with everything in it, podbottle's own state among it; start in a project's directory", dir)
	}
	c, err := buildcontext.Open(dir, "")
	if err != nil {
		return nil, err
	}
	defer c.Close()
	w := &Workspace{Dir: dir, IgnoreFile: c.IgnoreFile()}
	if w.Size, err = c.Size(); err != nil {
		return nil, fmt.Errorf("workspace %s: %w", dir, err)
	}
	return w, nil
}

// holdsState reports whether the state tree lies in dir, as it does in the home directory.
func holdsState(host Host, dir string) bool {
	root := host.Root
	if real, err := filepath.EvalSymlinks(root); err == nil {
		root = real
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	rel, err := filepath.Rel(dir, root)
	return err == nil && filepath.IsLocal(rel)
}

// WriteWorkspace writes, as a tar archive, the build context of the plan's
// derived image: a Containerfile that puts a copy of the user's directory over
// the agent's image, and that directory.
func WriteWorkspace(w io.Writer, plan *Plan) error {
	if plan.Workspace == nil {
		return errors.New("the plan has no workspace")
	}
	c, err := buildcontext.Open(plan.Workspace.Dir, "")
	if err != nil {
		return err
	}
	defer c.Close()
	home, name := path.Split(plan.WorkDir)
	copied, err := json.Marshal([]string{"home/", home})
	if err != nil {
		return err
	}
	// The workspace itself is inside of what is copied, so that it gets the owner too.
	containerfile := fmt.Sprintf("FROM %s\nCOPY --chown=1000:1000 %s\n", plan.Image, copied)
	archive := tar.NewWriter(w)
	if err := buildcontext.AddFile(archive, "Containerfile", []byte(containerfile)); err != nil {
		return err
	}
	top := &tar.Header{Typeflag: tar.TypeDir, Name: "home/" + name + "/", Mode: 0o755, Uid: 1000, Gid: 1000, Format: tar.FormatPAX}
	if err := archive.WriteHeader(top); err != nil {
		return err
	}
	if err := c.WriteTo(archive, "home/"+name); err != nil {
		return fmt.Errorf("workspace %s: %w", plan.Workspace.Dir, err)
	}
	return archive.Close()
}

// WriteContext writes, as a tar archive, the build context of the plan's own
// image: the recipe under its base name and, where the manifest named it, the
// directory that it lies in. A recipe from an approved capability change gets
// nothing else: it lies among the bottle's state, and the agent wrote it.
func WriteContext(w io.Writer, plan *Plan) error {
	recipe, err := Recipe(plan)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(w)
	if plan.BuildContext != "" {
		c, err := buildcontext.Open(plan.BuildContext, plan.BuildRoot)
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.WriteTo(archive, ""); err != nil {
			return fmt.Errorf("build context %s: %w", plan.BuildContext, err)
		}
	}
	// Last, so that it is there even if the ignore file names it.
	if err := buildcontext.AddFile(archive, filepath.Base(plan.DockerfilePath), recipe); err != nil {
		return err
	}
	return archive.Close()
}
