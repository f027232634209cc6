package pod

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// serviceIdle is how long a private API service outlives its last request.
const serviceIdle = 30 * time.Second

// service is a private `podman system service`.
type service struct {
	socket string
	stop   func()
}

// startService starts an API service on a socket of its own, with the OCI
// runtime at an absolute path, or Podman's default when runtime is empty.
//
// A second service is the only way to choose a runtime over REST: Podman before
// 6.0 reads SpecGenerator.OCIRuntime and ignores it (containers/podman#28429).
// The path is kept with each container, so any service starts it with that runtime.
func startService(ctx context.Context, runtime string) (*service, error) {
	podman, err := exec.LookPath("podman")
	if err != nil {
		return nil, errors.New("podman is not installed or not on PATH; install podman 5.0 or later")
	}
	root, err := RuntimeRoot()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(root, "podbottle", ".service")
	own, err := privateDir(dir)
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(own, "podman.sock")
	args := []string{"system", "service", fmt.Sprintf("--time=%d", int(serviceIdle.Seconds())), "unix://" + socket}
	if runtime != "" {
		args = append([]string{"--runtime=" + runtime}, args...)
	}
	var stderr bytes.Buffer
	cmd := exec.Command(podman, args...) // #nosec G204 -- podman from PATH with our own arguments
	cmd.Stderr = &stderr
	cmd.Env = serviceEnv(os.Environ())
	// A session of its own: a Ctrl-C at the terminal is not for the service, which
	// still has to take the bottle down.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("podman system service: %w", err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	stop := func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = os.RemoveAll(own)
		_ = os.Remove(dir) // when no other podbottle has a socket there
	}
	for {
		if err := dial(ctx, socket); err == nil {
			return &service{socket: socket, stop: stop}, nil
		}
		select {
		case <-exited:
			_ = os.RemoveAll(own)
			return nil, fmt.Errorf("podman system service ended at once: %s", strings.TrimSpace(stderr.String()))
		case <-ctx.Done():
			stop()
			return nil, ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// privateDir makes a directory of its own below parent, which another podbottle
// may be removing at this moment.
func privateDir(parent string) (string, error) {
	for {
		if err := os.MkdirAll(parent, 0o700); err != nil {
			return "", err
		}
		own, err := os.MkdirTemp(parent, "")
		if !errors.Is(err, fs.ErrNotExist) {
			return own, err
		}
	}
}

// serviceEnv is the environment of a private service: without what would make
// Podman leave conmon in the caller's unit, where the agent's limits do not hold,
// and without a CONTAINER_HOST that would make the command a remote client.
func serviceEnv(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		switch name {
		case "INVOCATION_ID", "NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "CONTAINER_HOST", "CONTAINER_CONNECTION":
			return true
		}
		return false
	})
}
