package pod

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/images"
	"github.com/containers/podman/v5/pkg/bindings/network"
	"github.com/containers/podman/v5/pkg/bindings/pods"
	"github.com/containers/podman/v5/pkg/bindings/volumes"

	"github.com/podbottle/podbottle/internal/blueprint"
)

// Everything returns what Podman says of the objects of a bottle and of the images
// that its containers run, as JSON, by name.
func (c *Client) Everything(ctx context.Context, slug string) (map[string][]byte, error) {
	all := map[string][]byte{}
	conn := c.with(ctx)
	add := func(name string, value any, err error) error {
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		all[name], err = json.Marshal(value)
		return err
	}
	found, err := containers.List(conn, new(containers.ListOptions).WithAll(true).WithFilters(map[string][]string{"label": {blueprint.LabelSlug + "=" + slug}}))
	if err != nil {
		return nil, fmt.Errorf("list of containers: %w", err)
	}
	for _, container := range found {
		got, err := containers.Inspect(conn, container.ID, nil)
		if err := add("container "+container.Names[0], got, err); err != nil {
			return nil, err
		}
		image, err := images.GetImage(conn, container.ImageID, nil)
		if err := add("image "+container.Image, image, err); err != nil {
			return nil, err
		}
		history, err := images.History(conn, container.ImageID, nil)
		if err := add("history of "+container.Image, history, err); err != nil {
			return nil, err
		}
	}
	got, err := pods.Inspect(conn, blueprint.PodName(slug), nil)
	if err := add("pod", got, err); err != nil {
		return nil, err
	}
	for _, kind := range []string{"internal", "uplink"} {
		got, err := network.Inspect(conn, "bot-bottle-"+slug+"-"+kind, nil)
		if err := add("network "+kind, got, err); err != nil {
			return nil, err
		}
	}
	volume, err := volumes.Inspect(conn, blueprint.HomeVolume(slug), nil)
	return all, add("volume", volume, err)
}
