package pod

import (
	"context"
	"fmt"

	"github.com/containers/podman/v5/pkg/bindings/containers"

	"github.com/podbottle/podbottle/internal/blueprint"
)

// RestartService restarts one sidecar of a bottle and leaves the others alone. It
// returns when the container runs again, which is before its program answers.
func (c *Client) RestartService(ctx context.Context, slug string, service blueprint.Service) error {
	name := "bot-bottle-" + slug + "-" + string(service)
	restart := func() error {
		return containers.Restart(c.with(ctx), name, new(containers.RestartOptions).WithTimeout(1))
	}
	err := restart()
	if err != nil && !notFound(err) && ctx.Err() == nil {
		err = restart() // see removePod
	}
	if err != nil {
		return fmt.Errorf("container %s: restart: %w", name, err)
	}
	return nil
}
