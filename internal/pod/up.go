package pod

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/pods"
	"github.com/containers/podman/v5/pkg/bindings/volumes"
	"github.com/containers/podman/v5/pkg/domain/entities/types"
	"github.com/fsnotify/fsnotify"
	"golang.org/x/sync/errgroup"

	"github.com/podbottle/podbottle/internal/blueprint"
)

// Steps reports progress: it is called with a step's name and returns what is
// called with the step's result.
type Steps func(name string) func(error)

// UpOptions are what the host contributes to a bottle.
type UpOptions struct {
	RuntimeDir string // of this bottle: $XDG_RUNTIME_DIR/podbottle/<slug>
	Runsc      string // absolute path of runsc; empty for Podman's default runtime
	DataDir    string // where the wrapper of runsc and the seccomp profile are kept
	Steps      Steps
}

// Instance is a bottle that was created.
type Instance struct {
	client     *Client
	bottle     *blueprint.Bottle
	containers []blueprint.Container
	runtimeDir string
	// Unenforced says which limits this host does not hold; empty when it holds all.
	Unenforced string
}

// Create makes everything that the blueprint describes and starts nothing. What
// was made before an error is the caller's to remove, with Down.
func (c *Client) Create(ctx context.Context, b *blueprint.Bottle, o UpOptions) (*Instance, error) {
	inst := &Instance{client: c, bottle: b, runtimeDir: o.RuntimeDir}
	profile, err := WriteProfile(o.DataDir)
	if err != nil {
		return inst, err
	}
	h := host{runtimeDir: o.RuntimeDir, seccomp: profile}
	var agents *Client // the service that creates the agent
	var addresses blueprint.Addresses
	var cgroups string // parent of the pod's

	done := o.Steps("networks and pod")
	prepare, pctx := errgroup.WithContext(ctx)
	prepare.Go(func() error { return WriteFiles(o.RuntimeDir, b) })
	prepare.Go(func() (err error) {
		if h, err = describeHost(h); err == nil && h.manager {
			err = startSlice(pctx, b.Slice)
		}
		return err
	})
	var runtime string
	prepare.Go(func() (err error) {
		agents, runtime, err = c.agentService(pctx, o)
		return err
	})
	prepare.Go(func() (err error) {
		if err := c.createVolumes(pctx, b); err != nil {
			return err
		}
		if addresses, err = c.createNetworks(pctx, b); err != nil {
			return err
		}
		if _, err := pods.CreatePodFromSpec(c.with(pctx), podSpec(b, addresses)); err != nil {
			return fmt.Errorf("pod %s: %w", b.PodName, err)
		}
		cgroups, err = c.cgroupParent(pctx, b.PodName)
		return err
	})
	err = prepare.Wait()
	done(err)
	if agents != nil {
		defer agents.Close()
	}
	if err != nil {
		return inst, err
	}
	h.runtime = runtime
	h.slices = h.manager && strings.HasSuffix(cgroups, ".slice")
	inst.Unenforced = unenforced(b.Slice, h)
	inst.containers = breakMembers(b.Containers(addresses))

	done = o.Steps("containers")
	create, cctx := errgroup.WithContext(ctx)
	for _, container := range inst.containers {
		create.Go(func() error {
			service := c
			if container.Runsc {
				service = agents
			}
			if err := service.createContainer(cctx, b, container, h); err != nil {
				return err
			}
			return c.verify(cctx, b, container, h)
		})
	}
	err = create.Wait()
	done(err)
	return inst, err
}

// cgroupParent is where Podman put a pod's cgroup: a slice where systemd is its cgroup
// manager, a path where cgroupfs is. Only the server knows: which of the two is the
// default depends on how a program that reads containers.conf was built.
func (c *Client) cgroupParent(ctx context.Context, pod string) (string, error) {
	report, err := pods.Inspect(c.with(ctx), pod, nil)
	if err != nil {
		return "", fmt.Errorf("pod %s: %w", pod, err)
	}
	return report.CgroupParent, nil
}

// createVolumes makes the volumes that are not there yet: a resumed bottle's are.
// Podman would make them with the containers, but without labels to find them by.
func (c *Client) createVolumes(ctx context.Context, b *blueprint.Bottle) error {
	for _, name := range b.Volumes {
		options := types.VolumeCreateOptions{Name: name, Label: maps.Clone(b.Labels), IgnoreIfExists: true}
		if _, err := volumes.Create(c.with(ctx), options, nil); err != nil {
			return fmt.Errorf("volume %s: %w", name, err)
		}
	}
	return nil
}

func (c *Client) createContainer(ctx context.Context, b *blueprint.Bottle, container blueprint.Container, h host) error {
	spec := containerSpec(b, container, h)
	breakContainer(spec, b, container)
	if _, err := containers.CreateWithSpec(c.with(ctx), spec, nil); err != nil {
		return fmt.Errorf("container %s: %w", container.Name, err)
	}
	return nil
}

// agentService returns the API service on which the agent is created, and the
// OCI runtime that the agent will have there.
func (c *Client) agentService(ctx context.Context, o UpOptions) (*Client, string, error) {
	if o.Runsc == "" {
		return nil, "", nil
	}
	wrapper, err := WriteWrapper(o.DataDir, o.Runsc)
	if err != nil {
		return nil, "", err
	}
	service, err := startService(ctx, wrapper)
	if err != nil {
		return nil, "", err
	}
	agents, err := connect(ctx, service.socket)
	if err != nil {
		service.stop()
		return nil, "", err
	}
	agents.close = service.stop
	return agents, wrapper, nil
}

// unenforced says which of the agent's limits this host does not hold; empty when it holds all.
func unenforced(s blueprint.Slice, h host) string {
	var limits, controllers []string
	check := func(wanted bool, controller, limit string) {
		if wanted && (!h.slices || !h.controller[controller]) {
			limits = append(limits, limit)
			controllers = append(controllers, controller)
		}
	}
	check(s.MemoryMax > 0, "memory", "memory")
	check(s.TasksMax > 0, "pids", "tasks")
	check(s.CPUQuota > 0, "cpu", "CPU")
	if len(limits) == 0 {
		return ""
	}
	return fmt.Sprintf("the agent's limits are not enforced (%s): no systemd user manager with the cgroup controllers %s delegated to it; podbottle doctor says more",
		strings.Join(limits, ", "), strings.Join(controllers, ", "))
}

// Agent is the name of the agent's container.
func (i *Instance) Agent() string { return i.containers[len(i.containers)-1].Name }

// Start starts the sidecars and the agent together, since the agent's handover
// waits for egress by itself, and returns once every container has said that it
// does its work.
func (i *Instance) Start(ctx context.Context, steps Steps) (err error) {
	done := steps("start")
	defer func() { done(err) }()
	watch, err := i.watchReady()
	if err != nil {
		return err
	}
	defer watch.Close()
	start, sctx := errgroup.WithContext(ctx)
	start.Go(func() error { return i.start(sctx, i.Agent()) })
	start.Go(func() error { return i.startSidecars(sctx) })
	if err := start.Wait(); err != nil {
		return err
	}
	return i.awaitReady(ctx, watch)
}

// startSidecars starts the infra container and then those that share its network.
// Podman would start it with the first of them; but two that start at once may both
// find it not running, and the second (Podman 5.4) then restarts it while the first
// joins its network.
func (i *Instance) startSidecars(ctx context.Context) error {
	if err := i.start(ctx, i.bottle.InfraName); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, container := range i.containers {
		if container.Name != i.Agent() {
			group.Go(func() error { return i.start(ctx, container.Name) })
		}
	}
	return group.Wait()
}

func (i *Instance) start(ctx context.Context, name string) error {
	if err := containers.Start(i.client.with(ctx), name, nil); err != nil {
		return fmt.Errorf("container %s: %w", name, err)
	}
	return nil
}

// readyTimeout bounds the time from the start to the last ready marker.
const readyTimeout = 60 * time.Second

// watchReady watches the directories in which the ready markers appear.
func (i *Instance) watchReady() (*fsnotify.Watcher, error) {
	watch, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	for _, container := range i.containers {
		if container.Ready == "" {
			continue
		}
		if err := watch.Add(filepath.Dir(filepath.Join(i.runtimeDir, container.Ready))); err != nil {
			_ = watch.Close()
			return nil, err
		}
	}
	return watch, nil
}

// awaitReady waits for every marker, and gives up when a container has ended.
func (i *Instance) awaitReady(ctx context.Context, watch *fsnotify.Watcher) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	check := time.NewTicker(200 * time.Millisecond)
	defer check.Stop()
	for {
		missing := i.missing()
		if len(missing) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("not ready after %v: %s", readyTimeout, strings.Join(missing, ", ")), ctx.Err())
		case err := <-watch.Errors:
			return err
		case <-watch.Events:
		case <-check.C:
			if err := i.ended(ctx); err != nil {
				// The agent may be done already: what counts is that it was handed over.
				if len(i.missing()) == 0 {
					return nil
				}
				return err
			}
		}
	}
}

// missing names the services without their ready marker.
func (i *Instance) missing() []string {
	var names []string
	for _, container := range i.containers {
		if container.Ready == "" {
			continue
		}
		if _, err := os.Stat(filepath.Join(i.runtimeDir, container.Ready)); err != nil {
			names = append(names, string(container.Service))
		}
	}
	return names
}

// ended reports the first container that runs no more, with the last it said.
func (i *Instance) ended(ctx context.Context) error {
	for _, container := range i.containers {
		got, err := containers.Inspect(i.client.with(ctx), container.Name, nil)
		if err != nil {
			return fmt.Errorf("container %s: %w", container.Name, err)
		}
		if got.State.Running && got.State.Pid > 0 {
			if state := observed("/proc", got.State.Pid); state != got.State.Status {
				return fmt.Errorf("%s is %s: it or its conmon was killed before it was ready", container.Service, state)
			}
		}
		if slices.Contains([]string{"exited", "stopped"}, got.State.Status) {
			said := i.client.lastWords(ctx, container.Name)
			return fmt.Errorf("%s ended with status %d before it was ready: %s", container.Name, got.State.ExitCode, said)
		}
	}
	return nil
}
