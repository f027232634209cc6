package pod

import (
	"context"
	"errors"
	"fmt"
	"strings"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"

	"github.com/podbottle/podbottle/internal/blueprint"
)

// startSlice makes the agent's cgroup parent with its limits, through the user's
// systemd: the container's own limits do nothing under runsc. One that is there
// already is a crashed bottle's; it ends, with what is left in it.
func startSlice(ctx context.Context, s blueprint.Slice) error {
	conn, err := systemd.NewUserConnectionContext(ctx)
	if err != nil {
		return fmt.Errorf("systemd user manager: %w", err)
	}
	defer conn.Close()
	start := func(parents ...systemd.PropertyCollection) error {
		return finish(ctx, func(done chan<- string) (int, error) {
			return conn.StartTransientUnitAux(ctx, s.Name, "replace", sliceProperties(s), parents, done)
		})
	}
	err = start(parentSlice)
	if isDBusError(err, "UnitExists") { // the parent: there is another bottle
		err = start()
	}
	if isDBusError(err, "UnitExists") {
		err = finish(ctx, func(done chan<- string) (int, error) { return conn.StopUnitContext(ctx, s.Name, "replace", done) })
		if err == nil {
			err = start()
		}
	}
	if err != nil {
		return fmt.Errorf("slice %s: %w", s.Name, err)
	}
	return nil
}

// finish waits for the end of a job of systemd's.
func finish(ctx context.Context, enqueue func(done chan<- string) (int, error)) error {
	done := make(chan string, 1)
	if _, err := enqueue(done); err != nil {
		return err
	}
	select {
	case result := <-done:
		if result != "done" {
			return fmt.Errorf("systemd says %q", result)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// parentSlice is the slice above those of all bottles, by their names. systemd makes
// it by itself; but what it makes so it does not remove with the last of them.
var parentSlice = systemd.PropertyCollection{
	Name: "podbottle.slice",
	Properties: []systemd.Property{
		systemd.PropDescription("agents of podbottle bottles"),
		property("StopWhenUnneeded", true),
	},
}

// isDBusError tells whether systemd answered with one of its errors
// (org.freedesktop.systemd1.NAME).
func isDBusError(err error, name string) bool {
	var answer godbus.Error
	return errors.As(err, &answer) && strings.HasSuffix(answer.Name, "."+name)
}

// sliceProperties are systemd.resource-control(5)'s, in the types of its D-Bus API.
func sliceProperties(s blueprint.Slice) []systemd.Property {
	properties := []systemd.Property{
		systemd.PropDescription("limits of the agent of a podbottle bottle"),
		property("CollectMode", "inactive-or-failed"),
	}
	if s.MemoryMax > 0 {
		properties = append(properties, property("MemoryMax", uint64(s.MemoryMax)), property("MemorySwapMax", uint64(0)))
	}
	if s.TasksMax > 0 {
		properties = append(properties, property("TasksMax", uint64(s.TasksMax)))
	}
	if s.CPUQuota > 0 {
		properties = append(properties, property("CPUQuotaPerSecUSec", uint64(s.CPUQuota.Microseconds())))
	}
	return properties
}

func property(name string, value any) systemd.Property {
	return systemd.Property{Name: name, Value: godbus.MakeVariant(value)}
}

// stopSlice removes the slice; one that is not there is no error.
func stopSlice(ctx context.Context, name string) error {
	conn, err := systemd.NewUserConnectionContext(ctx)
	if err != nil {
		return nil // without a user manager there was no slice
	}
	defer conn.Close()
	err = finish(ctx, func(done chan<- string) (int, error) { return conn.StopUnitContext(ctx, name, "replace", done) })
	if isDBusError(err, "NoSuchUnit") {
		return nil
	}
	return err
}
