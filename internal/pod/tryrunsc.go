package pod

import (
	"context"
	"errors"
	"fmt"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/specgen"
)

// TryRunsc really starts a container of image under runsc, in the way in which
// agents are started, and removes it again. args are the container's command.
func (c *Client) TryRunsc(ctx context.Context, runsc, dataDir, image string, args ...string) (err error) {
	agents, wrapper, err := c.agentService(ctx, UpOptions{Runsc: runsc, DataDir: dataDir})
	if err != nil {
		return err
	}
	defer agents.Close()
	s := specgen.NewSpecGenerator(image, false)
	s.Command = args
	s.NetNS = specgen.Namespace{NSMode: specgen.NoNetwork}
	s.CapDrop = []string{"all"}
	s.OCIRuntime = wrapper
	s.ResourceLimits = noLimits()
	created, err := containers.CreateWithSpec(agents.with(ctx), s, nil)
	if err != nil {
		return err
	}
	defer func() {
		_, removeErr := containers.Remove(c.with(context.WithoutCancel(ctx)), created.ID, new(containers.RemoveOptions).WithForce(true).WithTimeout(0))
		err = errors.Join(err, removeErr)
	}()
	got, err := containers.Inspect(c.with(ctx), created.ID, nil)
	if err != nil {
		return err
	}
	if got.OCIRuntime != wrapper {
		return fmt.Errorf("podman would run it under %q", got.OCIRuntime)
	}
	if err := containers.Start(c.with(ctx), created.ID, nil); err != nil {
		return err
	}
	code, err := c.exitStatus(ctx, created.ID)
	if err == nil && code != 0 {
		err = fmt.Errorf("the container ended with status %d: %s", code, c.lastWords(ctx, created.ID))
	}
	return err
}
