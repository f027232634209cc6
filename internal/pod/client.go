// Package pod realises a blueprint with Podman, through its REST API: it creates
// and starts the bottle, attaches to its agent, lists what runs, and takes it
// down. It refuses to work as root and with Podman older than 5.
package pod

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/blang/semver/v4"
	"github.com/containers/common/pkg/config"
	"github.com/containers/podman/v5/libpod/define"
	"github.com/containers/podman/v5/pkg/bindings"
	"github.com/containers/podman/v5/pkg/bindings/system"
	"golang.org/x/sys/unix"
)

// oldestPodman is the first release whose API and networks podbottle relies on.
var oldestPodman = semver.MustParse("5.0.0")

// Client speaks to one Podman API service of the user.
type Client struct {
	ctx    context.Context // carries the bindings' connection
	socket string
	close  func()
}

// Connect reaches the user's API service: CONTAINER_HOST, then the default
// connection of containers.conf, then $XDG_RUNTIME_DIR/podman/podman.sock. When
// none answers it starts one of its own, which Close ends.
func Connect(ctx context.Context) (*Client, error) {
	if os.Geteuid() == 0 {
		return nil, errors.New("podbottle runs as root; run it as the user whose rootless Podman holds the bottles")
	}
	socket, explicit, err := socketPath()
	if err != nil {
		return nil, err
	}
	done := func() {}
	if err := dial(ctx, socket); err != nil {
		if errors.Is(err, errForeign) {
			return nil, fmt.Errorf("podman API socket %s: %w", socket, err)
		}
		if explicit {
			return nil, fmt.Errorf("podman API socket %s does not answer: %w; start it with: systemctl --user start podman.socket", socket, err)
		}
		service, err := startService(ctx, "")
		if err != nil {
			return nil, err
		}
		socket, done = service.socket, service.stop
	}
	c, err := connect(ctx, socket)
	if err != nil {
		done()
		return nil, err
	}
	c.close = done
	return c, nil
}

// connect opens a socket that is known to answer, and checks who is behind it.
func connect(ctx context.Context, socket string) (*Client, error) {
	conn, err := bindings.NewConnection(context.WithoutCancel(ctx), "unix://"+socket)
	if err != nil {
		return nil, fmt.Errorf("podman API at %s: %w", socket, err)
	}
	version := *bindings.ServiceVersion(conn)
	version.Pre = nil
	if version.LT(oldestPodman) {
		return nil, fmt.Errorf("podman %s is too old; podbottle needs 5.0 or later", version)
	}
	return &Client{ctx: conn, socket: socket, close: func() {}}, nil
}

// Info is what the service says of its host. It runs a dozen programs for the
// answer, which takes half a second: for doctor, not for a start.
func (c *Client) Info() (*define.Info, error) {
	info, err := system.Info(c.ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("podman info: %w", err)
	}
	return info, nil
}

// Version is the service's Podman version.
func (c *Client) Version() semver.Version { return *bindings.ServiceVersion(c.ctx) }

// Close ends an API service that Connect started.
func (c *Client) Close() { c.close() }

// with gives the bindings' connection the deadline and the cancellation of ctx.
func (c *Client) with(ctx context.Context) context.Context {
	return connection{Context: ctx, conn: c.ctx}
}

// connection is ctx with the values of conn, where the bindings keep their client.
type connection struct {
	context.Context
	conn context.Context
}

func (c connection) Value(key any) any {
	if v := c.conn.Value(key); v != nil {
		return v
	}
	return c.Context.Value(key)
}

// socketPath applies Podman's own conventions. explicit tells whether the user
// named the place, so that no other one is tried.
func socketPath() (path string, explicit bool, err error) {
	uri := os.Getenv("CONTAINER_HOST")
	if uri == "" {
		conf, err := config.Default()
		if err != nil {
			return "", false, fmt.Errorf("containers.conf: %w", err)
		}
		if conn, err := conf.GetConnection(os.Getenv("CONTAINER_CONNECTION"), os.Getenv("CONTAINER_CONNECTION") == ""); err == nil {
			uri = conn.URI
		}
	}
	if uri == "" {
		dir, err := RuntimeRoot()
		if err != nil {
			return "", false, err
		}
		return filepath.Join(dir, "podman", "podman.sock"), false, nil
	}
	path, ok := strings.CutPrefix(uri, "unix://")
	if !ok {
		return "", true, fmt.Errorf("podman connection %q is not a unix socket; bottles live on this machine only (unset CONTAINER_HOST, CONTAINER_CONNECTION or the default connection)", uri)
	}
	return path, true, nil
}

// RuntimeRoot is $XDG_RUNTIME_DIR, the user's tmpfs.
func RuntimeRoot() (string, error) {
	dir := os.Getenv("XDG_RUNTIME_DIR")
	if dir == "" {
		return "", errors.New("XDG_RUNTIME_DIR is not set; log in through a session with systemd-logind, or set it to /run/user/<uid>")
	}
	return dir, nil
}

// dial checks that a socket answers, which the bindings take 0.6 s to notice when
// it does not, and that the service behind it is the user's own: what another
// user's service makes, a rootful one's above all, is not a bottle.
func dial(ctx context.Context, socket string) error {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	conn, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return err
	}
	var peer *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) { peer, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return err
	}
	if credErr != nil {
		return credErr
	}
	return ownService(peer.Uid, os.Geteuid())
}

// errForeign marks a service that answers and is not to be used.
var errForeign = errors.New("not this user's rootless Podman")

// ownService compares the user behind a socket with the caller.
func ownService(peer uint32, self int) error {
	if int64(peer) != int64(self) {
		return fmt.Errorf("it belongs to uid %d: %w; unset CONTAINER_HOST, or point it at $XDG_RUNTIME_DIR/podman/podman.sock", peer, errForeign)
	}
	return nil
}
