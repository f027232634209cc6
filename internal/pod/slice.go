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

// startSlice makes the agent's cgroup parent with its limits, through the
// user's systemd: the container's own limits do nothing under runsc.
func startSlice(ctx context.Context, s blueprint.Slice) error {
	conn, err := systemd.NewUserConnectionContext(ctx)
	if err != nil {
		return fmt.Errorf("systemd user manager: %w", err)
	}
	defer conn.Close()
	done := make(chan string, 1)
	if _, err := conn.StartTransientUnitContext(ctx, s.Name, "replace", sliceProperties(s), done); err != nil {
		return fmt.Errorf("slice %s: %w", s.Name, err)
	}
	select {
	case result := <-done:
		if result != "done" {
			return fmt.Errorf("slice %s: systemd says %q", s.Name, result)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
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
	_, err = conn.StopUnitContext(ctx, name, "replace", nil)
	var dbusError godbus.Error
	if errors.As(err, &dbusError) && strings.HasSuffix(dbusError.Name, "NoSuchUnit") {
		return nil
	}
	return err
}
