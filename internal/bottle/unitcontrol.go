package bottle

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/podbottle/podbottle/internal/blueprint"
	"github.com/podbottle/podbottle/internal/pod"
	"github.com/podbottle/podbottle/internal/quadlet"
	"github.com/podbottle/podbottle/internal/state"
	"github.com/podbottle/podbottle/internal/systemd"
)

// StartUnits starts an installed bottle and waits: until its agent was handed
// its container, or until a headless agent has ended, whose exit status it
// returns.
func (l *Launcher) StartUnits(ctx context.Context, name string) (int, error) {
	record, manager, err := l.manage(ctx, name)
	if err != nil {
		return 0, err
	}
	defer manager.Close()
	if err := checkLoaded(ctx, manager, record); err != nil {
		return 0, err
	}
	agent := quadlet.AgentService(name)
	manager.ResetFailed(ctx, record.services()...)
	err = manager.Start(ctx, agent)
	if !record.Request.Headless {
		return 0, err
	}
	if status, statusErr := manager.ExitStatus(ctx, agent); statusErr == nil && status != 0 {
		return status, nil
	}
	return 0, err
}

// checkLoaded refuses to start a part of a bottle.
func checkLoaded(ctx context.Context, manager *systemd.Manager, record installed) error {
	states, err := manager.States(ctx, record.services()...)
	if err != nil {
		return err
	}
	name := record.Request.Spec.Identity
	for _, s := range states {
		if s.Load != "loaded" {
			return fmt.Errorf("systemd has no %s (%s): its file was removed, or Quadlet does not take what it says by now; see podbottle quadlet diff %s, and install it again", s.Unit, s.Load, name)
		}
	}
	return nil
}

// StopUnits stops an installed bottle. Its state, secrets and the agent's home stay.
func (l *Launcher) StopUnits(ctx context.Context, name string) error {
	record, manager, err := l.manage(ctx, name)
	if err != nil {
		return err
	}
	defer manager.Close()
	return manager.Stop(ctx, append(record.networks(), quadlet.PodService(name))...)
}

// RestartUnits stops an installed bottle, if it runs, and starts it.
func (l *Launcher) RestartUnits(ctx context.Context, name string) (int, error) {
	if err := l.StopUnits(ctx, name); err != nil {
		return 0, err
	}
	return l.StartUnits(ctx, name)
}

// manage reads what is kept of a bottle and connects to systemd.
func (l *Launcher) manage(ctx context.Context, name string) (installed, *systemd.Manager, error) {
	record, err := l.installedUnits(name)
	if err != nil {
		return record, nil, err
	}
	manager, err := systemd.Connect(ctx)
	return record, manager, err
}

// UnitStatus is how an installed bottle stands.
type UnitStatus struct {
	Name   string          `json:"name"`
	Agent  string          `json:"agent"` // of the manifest
	Form   string          `json:"form"`  // terminal | headless
	Active string          `json:"active"`
	Timer  string          `json:"timer,omitempty"` // its calendar event
	Units  []systemd.State `json:"units"`
}

// UnitStatus asks systemd how an installed bottle stands.
func (l *Launcher) UnitStatus(ctx context.Context, name string) (UnitStatus, error) {
	record, manager, err := l.manage(ctx, name)
	if err != nil {
		return UnitStatus{}, err
	}
	defer manager.Close()
	return unitStatus(ctx, manager, record)
}

func unitStatus(ctx context.Context, manager *systemd.Manager, record installed) (UnitStatus, error) {
	name := record.Request.Spec.Identity
	status := UnitStatus{Name: name, Agent: record.Request.Spec.AgentName, Form: "terminal", Timer: record.Request.OnCalendar}
	if record.Request.Headless {
		status.Form = "headless"
	}
	units := record.services()
	if status.Timer != "" {
		units = append(units, quadlet.TimerUnit(name))
	}
	var err error
	if status.Units, err = manager.States(ctx, units...); err != nil {
		return status, err
	}
	for _, u := range status.Units {
		if u.Unit == quadlet.AgentService(name) {
			status.Active = u.Active
		}
	}
	return status, nil
}

// UnitStatuses asks for all installed bottles, by name.
func (l *Launcher) UnitStatuses(ctx context.Context) ([]UnitStatus, error) {
	names, err := l.installedNames()
	if err != nil || len(names) == 0 {
		return nil, err
	}
	manager, err := systemd.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer manager.Close()
	var list []UnitStatus
	for _, name := range names {
		record, err := l.installedUnits(name)
		if err != nil {
			return nil, err
		}
		status, err := unitStatus(ctx, manager, record)
		if err != nil {
			return nil, err
		}
		list = append(list, status)
	}
	return list, nil
}

// installedNames are the bottles that are systemd's, sorted.
func (l *Launcher) installedNames() ([]string, error) {
	names, err := state.List(l.Root)
	return slices.DeleteFunc(names, func(name string) bool { return !l.OwnedBySystemd(name) }), err
}

// InstalledNames are the bottles that are systemd's, for completion.
func (l *Launcher) InstalledNames() []string {
	names, err := l.installedNames()
	if err != nil {
		return nil
	}
	return names
}

// UnitLogs shows the journal of a bottle's units, with control characters made
// visible.
func (l *Launcher) UnitLogs(ctx context.Context, name string, services []string, follow bool, lines int) error {
	record, err := l.installedUnits(name)
	if err != nil {
		return err
	}
	units := record.services()
	if len(services) > 0 {
		units = nil
		for _, service := range services {
			unit := quadlet.UnitName(name, service) + ".service"
			if !slices.Contains(record.services(), unit) {
				return fmt.Errorf("bottle %s has no service %s; it has %s", name, service, strings.Join(record.parts(), ", "))
			}
			units = append(units, unit)
		}
	}
	args := []string{"--user", "--no-pager", "--quiet", fmt.Sprintf("--lines=%d", lines)}
	if follow {
		args = append(args, "--follow")
	}
	for _, unit := range units {
		args = append(args, "--user-unit="+unit)
	}
	cmd := exec.CommandContext(ctx, "journalctl", args...) // #nosec G204 -- names of our own units
	cmd.Stdout, cmd.Stderr = visibleWriter{l.Out}, visibleWriter{l.Err}
	if err := cmd.Run(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("journalctl: %w", err)
	}
	return nil
}

// Refresh reads the tokens, keys and variables of the host again and restarts
// egress alone, which the agent notices as a short refusal of connections. Other
// containers see new values when they are started next.
func (l *Launcher) Refresh(ctx context.Context, name string) error {
	record, manager, err := l.manage(ctx, name)
	if err != nil {
		return err
	}
	defer manager.Close()
	client, err := pod.Connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	d, err := l.design(ctx, client, record.Request, true)
	if err != nil {
		return err
	}
	return errors.Join(d.refresh(ctx, manager, record), d.close(false))
}

func (d *design) refresh(ctx context.Context, manager *systemd.Manager, record installed) error {
	name := record.Request.Spec.Identity
	changes, err := d.diffUnits(record)
	if err != nil {
		return err
	}
	if changes != "" {
		return fmt.Errorf("the units of %s are not those of its manifest any more; see podbottle quadlet diff %s, and install it again", name, name)
	}
	if err := d.setSecrets(ctx); err != nil {
		return err
	}
	restarted, err := d.restartUnit(ctx, manager, name, blueprint.Egress)
	if err != nil {
		return err
	}
	said := "Podman has the values of %s. It gets them when it is started next.\n"
	if restarted {
		said = "Podman has the values of %s, and egress works with them. The other services get theirs when they are started next.\n"
	}
	fmt.Fprintf(d.Err, said, name)
	return nil
}

// restartUnit restarts one sidecar, unless it is stopped, waits until it says that it
// answers, and tells whether it was restarted. One that is being started may have
// read its files already.
func (l *Launcher) restartUnit(ctx context.Context, manager *systemd.Manager, name string, service blueprint.Service) (restarted bool, err error) {
	unit := quadlet.UnitName(name, string(service)) + ".service"
	if runs, err := manager.Runs(ctx, unit); err != nil || !runs {
		return false, err
	}
	snapshot, err := l.readSnapshot(name)
	if err != nil {
		return false, err
	}
	dir, err := l.RuntimeDir(name)
	if err != nil {
		return false, err
	}
	file, ok := snapshot.Ready[string(service)]
	marker := filepath.Join(dir, file)
	before := madeAt(marker)
	if err := manager.Restart(ctx, unit); err != nil || !ok {
		return err == nil, err // a program that is not ours has no marker
	}
	if !awaitMarker(ctx, marker, before) {
		return true, fmt.Errorf("%s of %s was restarted and is not ready; see podbottle quadlet logs %s --service %s", service, name, name, service)
	}
	return true, nil
}
