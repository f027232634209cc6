package resolve

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/podbottle/podbottle/internal/provider"
	"github.com/podbottle/podbottle/internal/state"
)

// images are the names that the image cascade decides.
type images struct {
	image      string
	derived    string
	runtime    string
	dockerfile string
	context    string // directory that dockerfile may copy from
	root       string // directory that links must not leave
}

// RebuiltImage names the image of a bottle whose capability change was approved.
func RebuiltImage(slug string) string { return "bot-bottle-rebuilt-" + slug }

// chooseImages is the seed's cascade: the bottle's own recipe from an approved
// capability change, the manifest's, the provider's, or the provider's image as
// it is. BOT_BOTTLE_IMAGE changes the name but not the recipe.
func chooseImages(host Host, spec Spec, slug string, config provider.Config, runtime provider.Runtime) (images, error) {
	tree, err := state.Of(host.Root, slug)
	if err != nil {
		return images{}, err
	}
	var out images
	_, err = os.Stat(tree.Dockerfile())
	switch {
	case err == nil:
		out.image, out.dockerfile = RebuiltImage(slug), tree.Dockerfile()
	case !errors.Is(err, os.ErrNotExist):
		return images{}, fmt.Errorf("recipe of bottle %s: %w", slug, err)
	case config.Dockerfile != "":
		out.image = fmt.Sprintf("bot-bottle-%s:%s", config.Template, slug)
		out.dockerfile = host.expand(config.Dockerfile, spec.UserCwd)
		if context := filepath.Dir(out.dockerfile); !holdsState(host, context) {
			out.context = context
		}
		if filepath.IsLocal(config.Dockerfile) && !strings.HasPrefix(config.Dockerfile, "~") {
			out.root = spec.UserCwd
		}
	default:
		out.image, out.dockerfile = runtime.Image, runtime.Dockerfile
	}
	out.image = host.env("BOT_BOTTLE_IMAGE", out.image)
	out.runtime = out.image
	if spec.CopyCwd {
		out.derived = host.env("BOT_BOTTLE_DERIVED_IMAGE", "bot-bottle-cwd:"+slug)
		out.runtime = out.derived
	}
	for _, name := range []string{out.image, out.runtime} {
		// The name stands in a Containerfile's FROM.
		if name == "" || strings.ContainsAny(name, " \t\r\n") || name[0] == '-' {
			return images{}, fmt.Errorf("%q cannot be the name of an image; set or unset BOT_BOTTLE_IMAGE or BOT_BOTTLE_DERIVED_IMAGE", name)
		}
	}
	return out, nil
}
