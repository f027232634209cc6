package pod

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/images"
	"github.com/containers/podman/v5/pkg/bindings/network"
	"github.com/containers/podman/v5/pkg/bindings/pods"
	"github.com/containers/podman/v5/pkg/bindings/secrets"
	"github.com/containers/podman/v5/pkg/bindings/volumes"
	systemd "github.com/coreos/go-systemd/v22/dbus"

	"github.com/podbottle/podbottle/internal/blueprint"
)

// Object is one thing of podbottle's in Podman or systemd.
type Object struct {
	Kind string // pod | container | network | volume | secret | image | slice
	Name string
	Slug string
}

// Objects lists everything that carries the label of a bottle, in the order in
// which it can be removed.
func (c *Client) Objects(ctx context.Context) ([]Object, error) {
	conn := c.with(ctx)
	label := map[string][]string{"label": {blueprint.LabelSlug}}
	var list []Object
	add := func(kind, name string, labels map[string]string) {
		list = append(list, Object{Kind: kind, Name: name, Slug: labels[blueprint.LabelSlug]})
	}
	podList, err := pods.List(conn, new(pods.ListOptions).WithFilters(label))
	if err != nil {
		return nil, fmt.Errorf("list of pods: %w", err)
	}
	inPod := map[string]bool{}
	for _, p := range podList {
		add("pod", p.Name, p.Labels)
		inPod[p.Id] = true
	}
	containerList, err := containers.List(conn, new(containers.ListOptions).WithAll(true).WithFilters(label))
	if err != nil {
		return nil, fmt.Errorf("list of containers: %w", err)
	}
	for _, container := range containerList {
		if !inPod[container.Pod] {
			add("container", container.Names[0], container.Labels)
		}
	}
	networkList, err := network.List(conn, new(network.ListOptions).WithFilters(label))
	if err != nil {
		return nil, fmt.Errorf("list of networks: %w", err)
	}
	for _, n := range networkList {
		add("network", n.Name, n.Labels)
	}
	volumeList, err := volumes.List(conn, new(volumes.ListOptions).WithFilters(label))
	if err != nil {
		return nil, fmt.Errorf("list of volumes: %w", err)
	}
	for _, v := range volumeList {
		add("volume", v.Name, v.Labels)
	}
	secretList, err := secrets.List(conn, nil)
	if err != nil {
		return nil, fmt.Errorf("list of secrets: %w", err)
	}
	for _, s := range secretList {
		if s.Spec.Labels[blueprint.LabelSlug] != "" {
			add("secret", s.Spec.Name, s.Spec.Labels)
		}
	}
	imageList, err := c.OwnImages(ctx)
	if err != nil {
		return nil, err
	}
	for _, image := range imageList {
		if image.Slug != "" {
			list = append(list, Object{Kind: "image", Name: image.Name, Slug: image.Slug})
		}
	}
	return append(list, sliceObjects(ctx)...), nil
}

// sliceObjects are the slices of agents; without a user manager there is none.
func sliceObjects(ctx context.Context) []Object {
	conn, err := systemd.NewUserConnectionContext(ctx)
	if err != nil {
		return nil
	}
	defer conn.Close()
	units, err := conn.ListUnitsByPatternsContext(ctx, nil, []string{"podbottle-*.slice"})
	if err != nil {
		return nil
	}
	list := make([]Object, 0, len(units))
	for _, unit := range units {
		slug := strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(unit.Name, "podbottle-"), ".slice"), "_", "-")
		list = append(list, Object{Kind: "slice", Name: unit.Name, Slug: slug})
	}
	return list
}

// RemoveObject removes one object; one that is gone already is no error.
func (c *Client) RemoveObject(ctx context.Context, o Object) error {
	conn := c.with(ctx)
	var err error
	switch o.Kind {
	case "pod":
		err = c.removePod(ctx, o.Name)
	case "container":
		_, err = containers.Remove(conn, o.Name, new(containers.RemoveOptions).WithForce(true).WithVolumes(true).WithTimeout(0))
	case "network":
		_, err = network.Remove(conn, o.Name, new(network.RemoveOptions).WithForce(true).WithTimeout(0))
	case "volume":
		err = volumes.Remove(conn, o.Name, new(volumes.RemoveOptions).WithForce(true))
	case "secret":
		err = secrets.Remove(conn, o.Name)
	case "image":
		_, errs := images.Remove(conn, []string{o.Name}, new(images.RemoveOptions).WithIgnore(true))
		err = errors.Join(errs...)
	case "slice":
		err = stopSlice(ctx, o.Name)
	}
	if notFound(err) {
		return nil
	}
	return err
}

// Exists tells whether Podman has a container or a pod of this name.
func (c *Client) Exists(ctx context.Context, kind, name string) (bool, error) {
	var exists bool
	var err error
	switch kind {
	case "pod":
		exists, err = pods.Exists(c.with(ctx), name, nil)
	default:
		exists, err = containers.Exists(c.with(ctx), name, nil)
	}
	if err != nil {
		return false, fmt.Errorf("%s %s: %w", kind, name, err)
	}
	return exists, nil
}

// HasTerminal tells whether a container's main process has a terminal.
func (c *Client) HasTerminal(ctx context.Context, name string) (bool, error) {
	got, err := containers.Inspect(c.with(ctx), name, nil)
	if err != nil {
		return false, fmt.Errorf("container %s: %w", name, err)
	}
	return got.Config.Tty, nil
}
