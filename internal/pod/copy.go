package pod

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/volumes"
	"github.com/containers/podman/v5/pkg/specgen"

	"github.com/podbottle/podbottle/internal/blueprint"
)

// copyService is the label of a container that CopyHome makes.
const copyService = "copy"

// CopyRunning runs the sidecars' program with args beside the agent, as the agent's
// user. Podman's archive API does not reach into a container that runs under runsc.
func (c *Client) CopyRunning(ctx context.Context, container string, args []string, streams IO) (int, error) {
	return c.execAs(ctx, container, blueprint.AgentUser, append([]string{blueprint.Handover}, args...), false, streams)
}

// CopyHome runs the sidecars' program with args in a container that has nothing but
// the home of the bottle's agent, at the path that it has for the agent: no
// network, no capability, and the agent's user. The bottle need not run.
func (c *Client) CopyHome(ctx context.Context, slug, image, home string, args []string, streams IO) (code int, err error) {
	switch kept, err := c.HasHome(ctx, slug); {
	case err != nil:
		return 0, err
	case !kept:
		return 0, fmt.Errorf("bottle %s has no home any more: Podman has no volume %s", slug, blueprint.HomeVolume(slug))
	}
	name := "bot-bottle-" + slug + "-copy-" + strings.ToLower(rand.Text()[:8])
	if _, err := containers.CreateWithSpec(c.with(ctx), copySpec(name, slug, image, home, args), nil); err != nil {
		return 0, fmt.Errorf("container %s: %w", name, err)
	}
	defer func() {
		remove := new(containers.RemoveOptions).WithForce(true).WithTimeout(0)
		if _, removeErr := containers.Remove(c.with(context.WithoutCancel(ctx)), name, remove); removeErr != nil {
			err = errors.Join(err, fmt.Errorf("container %s: %w", name, removeErr))
		}
	}()
	attachment, err := c.Attach(ctx, name, false, streams)
	if err != nil {
		return 0, err
	}
	if err := containers.Start(c.with(ctx), name, nil); err != nil {
		return 0, errors.Join(fmt.Errorf("container %s: %w", name, err), attachment.Close())
	}
	return attachment.Run(ctx)
}

// HasHome tells whether Podman has the home of a bottle's agent.
func (c *Client) HasHome(ctx context.Context, slug string) (bool, error) {
	exists, err := volumes.Exists(c.with(ctx), blueprint.HomeVolume(slug), nil)
	if err != nil {
		return false, fmt.Errorf("volume %s: %w", blueprint.HomeVolume(slug), err)
	}
	return exists, nil
}

func copySpec(name, slug, image, home string, args []string) *specgen.SpecGenerator {
	yes := true
	s := hardened(image)
	s.Name = name
	s.Labels = map[string]string{blueprint.LabelSlug: slug, blueprint.LabelService: copyService}
	s.Command = args
	s.User = blueprint.AgentUser
	s.Stdin = &yes
	s.ReadOnlyFilesystem = &yes
	s.NetNS = specgen.Namespace{NSMode: specgen.NoNetwork}
	s.ResourceLimits = noLimits()
	// Its output is the copy, which no log shall keep.
	s.LogConfiguration = &specgen.LogConfig{Driver: "none"}
	s.Volumes = []*specgen.NamedVolume{{Name: blueprint.HomeVolume(slug), Dest: home, Options: []string{"nosuid", "nodev"}}}
	return s
}
