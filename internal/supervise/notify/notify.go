// Package notify tells an operator who does not look that a proposal waits: through
// the desktop's notifications, or through a command of his own.
package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/podbottle/podbottle/internal/supervise"
	"github.com/podbottle/podbottle/internal/visible"
)

// The desktop's notification service, as the Desktop Notifications Specification
// 1.2 names it.
const (
	service = "org.freedesktop.Notifications"
	path    = "/org/freedesktop/Notifications"
)

// desktopTime bounds how long the desktop may take to show one. Its service may be
// started for it.
const desktopTime = 5 * time.Second

// Desktop shows notifications through the session's D-Bus.
type Desktop struct {
	conn     *dbus.Conn
	patience time.Duration
}

// NewDesktop connects to the session bus. Whether anything shows notifications on it
// is known once one is sent.
func NewDesktop(ctx context.Context) (*Desktop, error) {
	conn, err := dbus.ConnectSessionBus(dbus.WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("no desktop to notify (D-Bus session bus): %w", err)
	}
	return &Desktop{conn, desktopTime}, nil
}

// Close gives the connection back.
func (d *Desktop) Close() error { return d.conn.Close() }

// maxBody bounds what is shown of a proposal, in characters: a screen holds no more.
const maxBody = 300

// Notify shows that a proposal waits. The agent's own words are not in it. What it
// chose, such as hosts and paths, is made visible, cut, and escaped, since the service
// may take it for markup.
func (d *Desktop) Notify(ctx context.Context, v supervise.View) error {
	ctx, cancel := context.WithTimeout(ctx, d.patience)
	defer cancel()
	summary := "podbottle: " + visible.String(v.Proposal.Slug) + " asks"
	body := html.EscapeString(visible.Cut(visible.String(v.Summary), maxBody)) + "\npodbottle supervise"
	hints := map[string]dbus.Variant{"urgency": dbus.MakeVariant(byte(1)), "category": dbus.MakeVariant("im.received")}
	const replaces, expires = uint32(0), int32(-1)
	call := d.conn.Object(service, path).CallWithContext(ctx, service+".Notify", 0,
		"podbottle", replaces, "dialog-question", summary, body, []string{}, hints, expires)
	if call.Err != nil {
		return fmt.Errorf("desktop notification: %w", call.Err)
	}
	return nil
}

// hookTime bounds how long a hook may run, and hookWait how long what it left in the
// background may keep its output open.
const (
	hookTime = time.Minute
	hookWait = time.Second
)

// Hook runs a shell command with the proposal as JSON (supervise.View) on its
// standard input, in which what a terminal could act upon is escaped. Nothing that the
// agent wrote is in its arguments or environment. The error holds what it printed. When
// its time is over it is ended with all that it has started.
func Hook(ctx context.Context, command string, v supervise.View) error {
	ctx, cancel := context.WithTimeout(ctx, hookTime)
	defer cancel()
	text, err := visible.Marshal(v)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", command) // #nosec G204 -- the operator's own command
	cmd.Stdin = strings.NewReader(text + "\n")
	cmd.WaitDelay = hookWait
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if output, err := cmd.CombinedOutput(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return fmt.Errorf("hook %s: %w\n%s", command, err, bytes.TrimSpace(output))
	}
	return nil
}
