package pod

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/containers/podman/v5/pkg/bindings/images"
	"github.com/containers/podman/v5/pkg/bindings/network"
	"github.com/containers/podman/v5/pkg/bindings/pods"
	"github.com/containers/podman/v5/pkg/bindings/volumes"
	"github.com/containers/podman/v5/pkg/errorhandling"

	"github.com/podbottle/podbottle/internal/blueprint"
)

// Down removes the objects of a bottle: the pod with its containers, the
// networks, the slice, the runtime directory; and, unless keepHome, the volume with
// the agent's home and the images that were built for this bottle alone. What is not there is no error, and one failure does not
// keep the rest.
func (c *Client) Down(ctx context.Context, slug, runtimeDir string, keepHome bool) error {
	base := "bot-bottle-" + slug
	var problems []error
	note := func(what string, err error) {
		if err != nil && !notFound(err) {
			problems = append(problems, fmt.Errorf("%s: %w", what, err))
		}
	}
	note("pod "+blueprint.PodName(slug), c.removePod(ctx, blueprint.PodName(slug)))
	for _, name := range []string{base + "-internal", base + "-uplink"} {
		reports, err := network.Remove(c.with(ctx), name, new(network.RemoveOptions).WithForce(true).WithTimeout(0))
		note("network "+name, err)
		for _, r := range reports {
			note("network "+name, r.Err)
		}
	}
	if !keepHome {
		note("images", c.removeImages(ctx, slug))
		note("volume "+blueprint.HomeVolume(slug), volumes.Remove(c.with(ctx), blueprint.HomeVolume(slug), new(volumes.RemoveOptions).WithForce(true)))
	}
	note("slice "+blueprint.SliceName(slug), stopSlice(ctx, blueprint.SliceName(slug)))
	note("runtime directory", RemoveTree(runtimeDir))
	return errors.Join(problems...)
}

// removePod removes a pod with its containers. Where a conmon was killed Podman
// takes its container for running, fails to stop it, and only then sees that it has
// ended; the next attempt goes through.
func (c *Client) removePod(ctx context.Context, name string) error {
	const attempts = 3
	var err error
	for range attempts {
		_, err = pods.Remove(c.with(ctx), name, new(pods.RemoveOptions).WithForce(true).WithTimeout(0))
		if err == nil || notFound(err) || ctx.Err() != nil {
			break
		}
	}
	return err
}

// removeImages removes the names of images that are for one bottle alone; Podman
// removes an image with its last name.
func (c *Client) removeImages(ctx context.Context, slug string) error {
	own, err := c.OwnImages(ctx)
	if err != nil {
		return err
	}
	var names []string
	for _, image := range own {
		if image.Slug == slug {
			names = append(names, image.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	_, errs := images.Remove(c.with(ctx), names, new(images.RemoveOptions).WithIgnore(true))
	return errors.Join(errs...)
}

// notFound tells whether the API said that there is no such object.
func notFound(err error) bool {
	var model *errorhandling.ErrorModel
	return errors.As(err, &model) && model.ResponseCode == http.StatusNotFound
}
