package pod

import (
	"context"
	"errors"
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
	broken := s.run(ctx)
	if broken != nil && !isConnectionError(broken) {
		return 0, broken
	}
	result, err := containers.ExecInspect(c.with(ctx), id, nil)
	switch {
	case err != nil:
		return 0, errors.Join(broken, fmt.Errorf("container %s: exec: %w", name, err))
	case broken != nil && result.Running:
		return 0, fmt.Errorf("container %s: exec: %w (%w); the command goes on", name, ErrLost, broken)
	}
	// Podman also breaks the connection when the command has ended and more is written to it.
	return result.ExitCode, nil
}
