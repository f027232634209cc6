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

	"github.com/gofrs/flock"
)

// serviceIdle is how long a private API service outlives its last request.
const serviceIdle = 30 * time.Second

// serviceStart is how long such a service may take to answer.
const serviceStart = 20 * time.Second

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
	dir := servicesDir(root)
	own, err := privateDir(dir)
	if err != nil {
		return nil, err
	}
	alive, err := markAlive(own)
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
	// still has to take the bottle down. With a killed podbottle it ends too.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGTERM}
	remove := func() {
		_ = alive.Close()
		_ = os.RemoveAll(own)
		_ = os.Remove(dir) // when no other podbottle has a socket there
	}
	if err := cmd.Start(); err != nil {
		remove()
		return nil, fmt.Errorf("podman system service: %w", err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	stop := func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		remove()
	}
	ctx, cancel := context.WithTimeout(ctx, serviceStart)
	defer cancel()
	for {
		if dial(ctx, socket) == nil {
			return &service{socket: socket, stop: stop}, nil
		}
		select {
		case err = <-exited:
			remove()
			return nil, fmt.Errorf("podman system service ended at once (%w): %s", err, strings.TrimSpace(stderr.String()))
		case <-ctx.Done():
			stop()
			return nil, fmt.Errorf("podman system service does not answer: %w", ctx.Err())
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

// servicesDir holds a directory for each private service.
func servicesDir(runtimeRoot string) string {
	return filepath.Join(runtimeRoot, "podbottle", ".service")
}

// lockName is the file in a service's directory whose lock its podbottle holds.
const lockName = "lock"

// markAlive locks a service's directory for as long as this process lives.
func markAlive(dir string) (*flock.Flock, error) {
	lock := flock.New(filepath.Join(dir, lockName), flock.SetPermissions(0o600))
	if err := lock.Lock(); err != nil { // which DeadServices may hold for a moment
		return nil, fmt.Errorf("podman system service: %w", err)
	}
	return lock, nil
}

// DeadServices returns the directories of private services whose podbottle was killed.
func DeadServices() ([]string, error) {
	root, err := RuntimeRoot()
	if err != nil {
		return nil, err
	}
	locks, err := filepath.Glob(filepath.Join(servicesDir(root), "*", lockName))
	if err != nil {
		return nil, err
	}
	var dead []string
	for _, path := range locks {
		lock := flock.New(path)
		if free, err := lock.TryRLock(); err == nil && free {
			dead = append(dead, filepath.Dir(path))
		}
		_ = lock.Close()
	}
	return dead, nil
}

// RemoveDeadService removes a directory that DeadServices found.
func RemoveDeadService(dir string) error {
	err := os.RemoveAll(dir)
	_ = os.Remove(filepath.Dir(dir)) // when there is no other
	return err
}

// serviceVariables are what a private service needs of the user's environment; the
// user's tokens are none of its business (CVE-2026-57231 copies from there), nor is
// what would make Podman leave conmon in the caller's unit (INVOCATION_ID), where
// the agent's limits do not hold, or take itself for a remote client (CONTAINER_HOST).
var serviceVariables = []string{
	"HOME", "PATH", "USER", "LOGNAME", "LANG", "TMPDIR", "DBUS_SESSION_BUS_ADDRESS", "REGISTRY_AUTH_FILE",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
}

// servicePrefixes are the families of such variables.
var servicePrefixes = []string{"XDG_", "LC_", "CONTAINERS_", "_CONTAINERS_"}

// serviceEnv is the environment of podman where podbottle starts it.
func serviceEnv(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return !slices.Contains(serviceVariables, name) &&
			!slices.ContainsFunc(servicePrefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
	})
}
