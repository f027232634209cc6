package pod

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containers/podman/v5/libpod/define"
	"github.com/containers/podman/v5/pkg/bindings/containers"

	"github.com/podbottle/podbottle/internal/blueprint"
)

// verify reads a created container back and refuses it when what matters is not
// what was asked for. A server drops JSON that it does not know without a word.
func (c *Client) verify(ctx context.Context, b *blueprint.Bottle, want blueprint.Container, h host) error {
	got, err := containers.Inspect(c.with(ctx), want.Name, nil)
	if err != nil {
		return fmt.Errorf("container %s: %w", want.Name, err)
	}
	if unseen() {
		return nil
	}
	var problems []error
	for _, difference := range differences(b, want, h, got) {
		problems = append(problems, fmt.Errorf("container %s: podman %s; the bottle is not started", want.Name, difference))
	}
	return errors.Join(problems...)
}

// differences lists what Podman made otherwise than it was told.
func differences(b *blueprint.Bottle, want blueprint.Container, h host, got *define.InspectContainerData) []string {
	var list []string
	differ := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }

	if want.Runsc && got.OCIRuntime != h.runtime {
		differ("would run it under %q instead of runsc (%s)", got.OCIRuntime, h.runtime)
	}
	if len(got.EffectiveCaps) > 0 || len(got.BoundingCaps) > 0 {
		differ("left it the capabilities %s", strings.Join(slices.Concat(got.EffectiveCaps, got.BoundingCaps), " "))
	}
	if !slices.Contains(got.HostConfig.SecurityOpt, "no-new-privileges") {
		differ("did not set no-new-privileges")
	}
	if profile := "seccomp=" + h.seccomp; !slices.Contains(got.HostConfig.SecurityOpt, profile) {
		differ("set the security options %s without %s", strings.Join(got.HostConfig.SecurityOpt, " "), profile)
	}
	if got.HostConfig.Privileged {
		differ("made it privileged")
	}
	if got.HostConfig.ReadonlyRootfs != want.ReadOnly {
		differ("set a read-only root filesystem to %t", got.HostConfig.ReadonlyRootfs)
	}
	if got.Config.User != want.User {
		differ("set its user to %q instead of %q", got.Config.User, want.User)
	}
	if len(got.HostConfig.Devices) > 0 {
		differ("gave it devices")
	}
	if limit := (define.InspectUlimit{Name: "RLIMIT_NPROC", Soft: want.NProc, Hard: want.NProc}); want.NProc > 0 && !slices.Contains(got.HostConfig.Ulimits, limit) {
		differ("did not limit its processes to %d", want.NProc)
	}
	list = append(list, networkDifferences(b, want, got)...)
	list = append(list, mountDifferences(want, h, got)...)
	if want.Slice != "" && h.slices && got.HostConfig.CgroupParent != want.Slice {
		differ("put it under the cgroup %q instead of %q", got.HostConfig.CgroupParent, want.Slice)
	}
	return list
}

func networkDifferences(b *blueprint.Bottle, want blueprint.Container, got *define.InspectContainerData) []string {
	if !want.OwnNetwork {
		if !strings.HasPrefix(got.HostConfig.NetworkMode, "container:") {
			return []string{fmt.Sprintf("gave it the network %q instead of the pod's", got.HostConfig.NetworkMode)}
		}
		return nil
	}
	var names []string
	for name := range got.NetworkSettings.Networks {
		names = append(names, name)
	}
	if got.HostConfig.NetworkMode != "bridge" || !slices.Equal(names, []string{b.Internal.Name}) {
		return []string{fmt.Sprintf("gave it the network %s %v instead of %s alone", got.HostConfig.NetworkMode, names, b.Internal.Name)}
	}
	return nil
}

func mountDifferences(want blueprint.Container, h host, got *define.InspectContainerData) []string {
	var list []string
	expected := map[string]blueprint.Mount{}
	for _, m := range want.Mounts {
		expected[m.Target] = m
	}
	for _, m := range got.Mounts {
		e, ok := expected[m.Destination]
		switch {
		case !ok:
			list = append(list, fmt.Sprintf("mounted %s at %s, which was not asked for", m.Source, m.Destination))
		case e.Type == blueprint.MountBind && m.Source != h.path(e.Source):
			list = append(list, fmt.Sprintf("mounted %s at %s instead of %s", m.Source, m.Destination, h.path(e.Source)))
		case e.Type == blueprint.MountBind && m.RW == e.ReadOnly:
			list = append(list, fmt.Sprintf("mounted %s writable=%t", m.Destination, m.RW))
		}
		delete(expected, m.Destination)
	}
	for target := range expected {
		list = append(list, "did not mount "+target)
	}
	return list
}
