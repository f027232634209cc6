package pod

import (
	"context"
	"fmt"
	"net/url"

	"github.com/containers/podman/v5/pkg/api/handlers"
	"github.com/containers/podman/v5/pkg/bindings/containers"
	dockerContainer "github.com/docker/docker/api/types/container"
)

// Exec runs a command in a container and returns its exit status. Its terminal
// is raw while it runs; the detach keys leave it running.
func (c *Client) Exec(ctx context.Context, name string, command []string, terminal bool, streams IO) (int, error) {
	return c.execAs(ctx, name, "", command, terminal, streams)
}

// execAs is Exec as a user, uid:gid; empty for the container's own.
func (c *Client) execAs(ctx context.Context, name, user string, command []string, terminal bool, streams IO) (int, error) {
	id, err := containers.ExecCreate(c.with(ctx), name, &handlers.ExecCreateConfig{ExecOptions: dockerContainer.ExecOptions{
		Cmd: command, User: user, Tty: terminal, AttachStdin: true, AttachStdout: true, AttachStderr: true,
	}})
	if err != nil {
		return 0, fmt.Errorf("container %s: exec: %w", name, err)
	}
	stream, err := c.hijack(ctx, "/exec/"+url.PathEscape(id)+"/start", nil, map[string]bool{"Detach": false, "Tty": terminal})
	if err != nil {
		return 0, fmt.Errorf("container %s: exec: %w", name, err)
	}
	resize := func(ctx context.Context, height, width int) error {
		return containers.ResizeExecTTY(c.with(ctx), id, new(containers.ResizeExecTTYOptions).WithHeight(height).WithWidth(width))
	}
	s := &session{stream: stream, io: streams, terminal: terminal, resize: resize}
	if err := s.run(ctx); err != nil {
		return 0, err
	}
	result, err := containers.ExecInspect(c.with(ctx), id, nil)
	if err != nil {
		return 0, fmt.Errorf("container %s: exec: %w", name, err)
	}
	return result.ExitCode, nil
}
