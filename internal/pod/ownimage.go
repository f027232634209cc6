package pod

import (
	"context"
	"fmt"
	"strings"

	"github.com/containers/podman/v5/pkg/bindings/images"

	"github.com/podbottle/podbottle/internal/blueprint"
)

// LayerCache is the repository of the names that keep layers between bottles: one
// tag for each Containerfile of a manifest.
const LayerCache = "localhost/podbottle-cache"

// bottleRepository begins the repository of an image that was built for one bottle
// and has the bottle's slug as its tag.
const bottleRepository = "localhost/bot-bottle-"

// OwnImage is one name of an image that podbottle made.
type OwnImage struct {
	Name string // or the ID of one whose name another has by now
	Kind string // as blueprint.LabelImageKind says
	Slug string // of the one bottle that it is for; empty when it is for all
	Used bool   // by a container
}

// OwnImages lists the images that podbottle made, by name.
func (c *Client) OwnImages(ctx context.Context) ([]OwnImage, error) {
	found, err := images.List(c.with(ctx), new(images.ListOptions).WithFilters(map[string][]string{"label": {blueprint.LabelImageKind}}))
	if err != nil {
		return nil, fmt.Errorf("list of images: %w", err)
	}
	var list []OwnImage
	for _, image := range found {
		names := image.RepoTags
		if len(names) == 0 { // another image took its name
			names = []string{image.ID}
		}
		for _, name := range names {
			list = append(list, OwnImage{
				Name: name, Kind: image.Labels[blueprint.LabelImageKind], Used: image.Containers > 0,
				Slug: imageSlug(name, image.Labels),
			})
		}
	}
	return list, nil
}

// imageSlug is the bottle that a name of an image belongs to: as its label says, or,
// where bottles share the image's layers, as the tag does.
func imageSlug(name string, labels map[string]string) string {
	if slug := labels[blueprint.LabelSlug]; slug != "" {
		return slug
	}
	repository, tag, _ := strings.Cut(name, ":")
	if strings.HasPrefix(repository, bottleRepository) && tag != "latest" {
		return tag
	}
	return ""
}

// TagImage gives an image another name, repository:tag, and takes that from the
// image that had it.
func (c *Client) TagImage(ctx context.Context, name, repository, tag string) error {
	if err := images.Tag(c.with(ctx), name, tag, repository, nil); err != nil {
		return fmt.Errorf("image %s: %w", name, err)
	}
	return nil
}
