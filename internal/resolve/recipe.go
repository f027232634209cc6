package resolve

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// EmbeddedPrefix marks a DockerfilePath that is not on the host but in the program.
const EmbeddedPrefix = "embedded:"

// maxRecipe bounds a Dockerfile, in bytes.
const maxRecipe = 1 << 20

// Recipe reads the Dockerfile of the plan's image from the host. A recipe that a
// manifest names by a relative path lies in a directory that may be somebody
// else's: links that lead out of it are not followed, or a repository could have
// any file of the host shown to its agent.
func Recipe(plan *Plan) ([]byte, error) {
	open := os.OpenFile
	name := plan.DockerfilePath
	if plan.BuildRoot != "" {
		root, err := os.OpenRoot(plan.BuildRoot)
		if err != nil {
			return nil, fmt.Errorf("recipe of image %s: %w", plan.Image, err)
		}
		defer root.Close()
		open = root.OpenFile
		if name, err = filepath.Rel(plan.BuildRoot, name); err != nil {
			return nil, fmt.Errorf("recipe of image %s: %w", plan.Image, err)
		}
	}
	f, err := open(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe must not hang
	if err != nil && plan.BuildRoot != "" {
		return nil, fmt.Errorf("recipe of image %s in %s, whose links must not lead out of it: %w", plan.Image, plan.BuildRoot, err)
	}
	if err != nil {
		return nil, fmt.Errorf("recipe of image %s: %w", plan.Image, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("recipe of image %s: %w", plan.Image, err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxRecipe {
		return nil, fmt.Errorf("recipe of image %s: %s is no file of at most %d KiB", plan.Image, plan.DockerfilePath, maxRecipe>>10)
	}
	return io.ReadAll(f)
}

// currentRecipe is the recipe as supervise shows it to the agent. An image that is
// only ever pulled has one that says so. It is empty when there is none. Whether it exists is found out when the image is built.
func (p *Plan) currentRecipe(host Host) ([]byte, error) {
	name, embedded := strings.CutPrefix(p.DockerfilePath, EmbeddedPrefix)
	var text []byte
	var err error
	switch {
	case p.DockerfilePath == "":
		return []byte("FROM " + p.Image + "\n"), nil
	case embedded && host.Embedded == nil:
		return nil, nil
	case embedded:
		text, err = fs.ReadFile(host.Embedded, name)
	default:
		text, err = Recipe(p)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}
