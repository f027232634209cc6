// Package systemd asks the user's systemd to load, start and stop units, over
// D-Bus (org.freedesktop.systemd1(5)).
package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"
)

// Manager is a connection to the user's systemd.
type Manager struct{ conn *dbus.Conn }

// Connect reaches the user's systemd.
func Connect(ctx context.Context) (*Manager, error) {
	conn, err := dbus.NewUserConnectionContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("the user's systemd does not answer: %w; log in through a session with systemd-logind", err)
	}
	return &Manager{conn}, nil
}

// Close ends the connection.
func (m *Manager) Close() { m.conn.Close() }

// Reload makes systemd run its generators and read all units again.
func (m *Manager) Reload(ctx context.Context) error {
	if err := m.conn.ReloadContext(ctx); err != nil {
		return fmt.Errorf("systemctl --user daemon-reload: %w", err)
	}
	return nil
}

// Start starts units and waits for them; what they need starts with them.
func (m *Manager) Start(ctx context.Context, units ...string) error {
	return m.jobs(ctx, "start", m.conn.StartUnitContext, units)
}

// Stop stops units and waits for them. One that is not loaded is no error.
func (m *Manager) Stop(ctx context.Context, units ...string) error {
	return m.jobs(ctx, "stop", m.conn.StopUnitContext, units)
}

// Restart stops units that run, starts them all, and waits for them.
func (m *Manager) Restart(ctx context.Context, units ...string) error {
	return m.jobs(ctx, "restart", m.conn.RestartUnitContext, units)
}

// Queue starts a unit and does not wait for it.
func (m *Manager) Queue(ctx context.Context, unit string) error {
	if _, err := m.conn.StartUnitContext(ctx, unit, "replace", nil); err != nil {
		return fmt.Errorf("start %s: %w", unit, err)
	}
	return nil
}

// job queues one job; systemd sends its result to the channel.
type job func(ctx context.Context, name, mode string, result chan<- string) (int, error)

// jobs queues a job for each unit and waits for all of them.
func (m *Manager) jobs(ctx context.Context, verb string, queue job, units []string) error {
	results := make([]chan string, len(units))
	var problems []error
	for i, unit := range units {
		results[i] = make(chan string, 1)
		if _, err := queue(ctx, unit, "replace", results[i]); err != nil {
			results[i] = nil
			if verb != "stop" || !isUnknown(err) {
				problems = append(problems, fmt.Errorf("%s %s: %w", verb, unit, err))
			}
		}
	}
	for i, result := range results {
		if result == nil {
			continue
		}
		select {
		case text := <-result:
			if text != "done" && text != "skipped" {
				problems = append(problems, fmt.Errorf("%s %s: systemd says %q; see journalctl --user -u %s", verb, units[i], text, units[i]))
			}
		case <-ctx.Done():
			return errors.Join(append(problems, fmt.Errorf("%s %s: %w", verb, units[i], context.Cause(ctx)))...)
		}
	}
	return errors.Join(problems...)
}

// isUnknown tells whether systemd has no such unit.
func isUnknown(err error) bool {
	var dbusError godbus.Error
	return errors.As(err, &dbusError) && strings.HasSuffix(dbusError.Name, "NoSuchUnit")
}

// Enable makes units start with their targets, from now on.
func (m *Manager) Enable(ctx context.Context, units ...string) error {
	if _, _, err := m.conn.EnableUnitFilesContext(ctx, units, false, true); err != nil {
		return fmt.Errorf("enable %s: %w", strings.Join(units, " "), err)
	}
	return nil
}

// Disable undoes Enable; a unit without a file is no error.
func (m *Manager) Disable(ctx context.Context, units ...string) error {
	if _, err := m.conn.DisableUnitFilesContext(ctx, units, false); err != nil && !isUnknown(err) {
		return fmt.Errorf("disable %s: %w", strings.Join(units, " "), err)
	}
	return nil
}

// State is how a unit stands.
type State struct {
	Unit   string `json:"unit"`
	Load   string `json:"load"`   // loaded | not-found | error …
	Active string `json:"active"` // active | activating | inactive | failed …
	Sub    string `json:"sub"`    // running | exited | auto-restart …
}

// States asks for units by name, in the order of the names.
func (m *Manager) States(ctx context.Context, units ...string) ([]State, error) {
	found, err := m.conn.ListUnitsByNamesContext(ctx, units)
	if err != nil {
		return nil, fmt.Errorf("states of units: %w", err)
	}
	states := make([]State, 0, len(found))
	for _, u := range found {
		states = append(states, State{Unit: u.Name, Load: u.LoadState, Active: u.ActiveState, Sub: u.SubState})
	}
	return states, nil
}

// Runs tells whether a unit is active, or on its way there or from there.
func (m *Manager) Runs(ctx context.Context, unit string) (bool, error) {
	states, err := m.States(ctx, unit)
	if err != nil || len(states) == 0 {
		return false, err
	}
	return states[0].Active != "inactive" && states[0].Active != "failed", nil
}

// ExitStatus is the status of a service's main process when it last ended.
func (m *Manager) ExitStatus(ctx context.Context, unit string) (int, error) {
	property, err := m.conn.GetServicePropertyContext(ctx, unit, "ExecMainStatus")
	if err != nil {
		return 0, fmt.Errorf("exit status of %s: %w", unit, err)
	}
	status, ok := property.Value.Value().(int32)
	if !ok {
		return 0, fmt.Errorf("exit status of %s is %v", unit, property.Value)
	}
	return int(status), nil
}

// ResetFailed forgets that units failed.
func (m *Manager) ResetFailed(ctx context.Context, units ...string) {
	for _, unit := range units {
		_ = m.conn.ResetFailedUnitContext(ctx, unit) // most have not failed
	}
}

// Lingers tells whether the user's systemd runs from boot on, without a login
// (loginctl enable-linger).
func Lingers() bool {
	current, err := user.Current()
	if err != nil {
		return false
	}
	_, err = os.Stat(filepath.Join("/var/lib/systemd/linger", current.Username))
	return err == nil
}
