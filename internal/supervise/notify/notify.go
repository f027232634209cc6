// Package notify tells an operator who does not look that a proposal waits: through
// the desktop's notifications, or through a command of his own.
package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"html"
	"os/exec"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/podbottle/podbottle/internal/supervise"
)

// The desktop's notification service, as the Desktop Notifications Specification
// 1.2 names it.
const (
	service = "org.freedesktop.Notifications"
	path    = "/org/freedesktop/Notifications"
)

// Desktop shows notifications through the session's D-Bus.
type Desktop struct{ conn *dbus.Conn }

// NewDesktop connects to the session bus. Whether anything shows notifications on it
// is known once one is sent.
func NewDesktop(ctx context.Context) (*Desktop, error) {
	conn, err := dbus.ConnectSessionBus(dbus.WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("no desktop to notify (D-Bus session bus): %w", err)
	}
	return &Desktop{conn}, nil
}

// Close gives the connection back.
func (d *Desktop) Close() error { return d.conn.Close() }

// Notify shows that a proposal waits. The agent's own words are not in it; what is
// may be taken for markup by the service, and is escaped.
func (d *Desktop) Notify(ctx context.Context, v supervise.View) error {
	summary := "podbottle: " + v.Proposal.Slug + " asks"
	body := html.EscapeString(v.Summary) + "\npodbottle supervise"
	hints := map[string]dbus.Variant{"urgency": dbus.MakeVariant(byte(1)), "category": dbus.MakeVariant("im.received")}
	const replaces, expires = uint32(0), int32(-1)
	call := d.conn.Object(service, path).CallWithContext(ctx, service+".Notify", 0,
		"podbottle", replaces, "dialog-question", summary, body, []string{}, hints, expires)
	if call.Err != nil {
		return fmt.Errorf("desktop notification: %w", call.Err)
	}
	return nil
}

// hookTime bounds how long a hook may run.
const hookTime = time.Minute

// Hook runs a shell command with the proposal as JSON (supervise.View) on its
// standard input. Nothing that the agent wrote is in its arguments or environment.
func Hook(ctx context.Context, command string, v supervise.View) error {
	ctx, cancel := context.WithTimeout(ctx, hookTime)
	defer cancel()
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", command) // #nosec G204 -- the operator's own command
	cmd.Stdin = bytes.NewReader(append(text, '\n'))
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("hook %s: %w\n%s", command, err, bytes.TrimSpace(output))
	}
	return nil
}
