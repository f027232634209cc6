package bottle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/podbottle/podbottle/internal/pod"
	"github.com/podbottle/podbottle/internal/quadlet"
	"github.com/podbottle/podbottle/internal/resolve"
	"github.com/podbottle/podbottle/internal/state"
	"github.com/podbottle/podbottle/internal/systemd"
)

// Uninstall stops an installed bottle and removes all of it: units, secrets,
// networks, the agent's home, images of its own, and its state. It lists
// everything and asks once.
func (l *Launcher) Uninstall(ctx context.Context, name string, yes bool) error {
	record, err := l.installedUnits(name)
	if errors.Is(err, ErrNotInstalled) {
		record, err = l.orphans(name, err)
	}
	if err != nil {
		return err
	}
	client, manager, disconnect, err := connect(ctx)
	if err != nil {
		return err
	}
	defer disconnect()
	lock, err := state.Lock(l.Root, name)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Unlock() }()
	list, err := l.unitLeftovers(ctx, client, manager, record)
	if err != nil {
		return err
	}
	for _, line := range shown(list) {
		fmt.Fprintln(l.Err, " ", line)
	}
	return l.removeAll(ctx, list, yes)
}

// orphans are units of a bottle whose state somebody removed; without any the error
// is notInstalled.
func (l *Launcher) orphans(name string, notInstalled error) (installed, error) {
	record := installed{Request: UnitRequest{Spec: resolve.Spec{Identity: name}}}
	entries, err := os.ReadDir(l.quadletDir(name))
	if ignoreMissing(err) != nil {
		return record, err
	}
	for _, e := range entries {
		record.Units = append(record.Units, e.Name())
	}
	if _, err := os.Lstat(filepath.Join(l.timerDir(), quadlet.TimerUnit(name))); err == nil {
		record.Units = append(record.Units, quadlet.TimerUnit(name))
	}
	if len(record.Units) == 0 {
		return record, notInstalled
	}
	return record, nil
}

// unitLeftovers are the steps of the removal, in their order.
func (l *Launcher) unitLeftovers(ctx context.Context, client *pod.Client, manager *systemd.Manager, record installed) ([]leftover, error) {
	name := record.Request.Spec.Identity
	timer := quadlet.TimerUnit(name)
	list := []leftover{{"stop of the bottle " + name, func(ctx context.Context) error {
		err := manager.Stop(ctx, append([]string{timer}, record.services()...)...)
		manager.ResetFailed(ctx, record.services()...)
		return err
	}}}
	if slices.Contains(record.Units, timer) {
		list = append(list, leftover{"timer " + timer, func(ctx context.Context) error {
			return errors.Join(manager.Disable(ctx, timer), ignoreMissing(os.Remove(filepath.Join(l.timerDir(), timer))))
		}})
	}
	dir := l.quadletDir(name)
	list = append(list, leftover{"units in " + dir, func(ctx context.Context) error {
		return errors.Join(os.RemoveAll(dir), manager.Reload(ctx))
	}})
	objects, err := client.Objects(ctx)
	if err != nil {
		return nil, err
	}
	for _, o := range objects {
		// Stopping takes pod, containers and networks away; what it should leave is removed here.
		if o.Slug == name {
			list = append(list, leftover{o.Kind + " " + o.Name, func(ctx context.Context) error { return client.RemoveObject(ctx, o) }})
		}
	}
	runtime, err := l.RuntimeDir(name)
	if err != nil {
		return nil, err
	}
	return append(list,
		leftover{"runtime directory of " + name, func(context.Context) error { return pod.RemoveTree(runtime) }},
		leftover{"state of " + name, func(context.Context) error { return removeState(l.Root, name) }},
	), nil
}
