package bottle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/podbottle/podbottle/internal/pod"
	"github.com/podbottle/podbottle/internal/quadlet"
	"github.com/podbottle/podbottle/internal/resolve"
	"github.com/podbottle/podbottle/internal/state"
	"github.com/podbottle/podbottle/internal/supervise"
	"github.com/podbottle/podbottle/internal/systemd"
)

// Install makes a bottle systemd's: images, secrets, a snapshot of the files that
// containers mount, and the units. It shows the bottle and asks first.
func (l *Launcher) Install(ctx context.Context, r UnitRequest, yes bool) (err error) {
	client, manager, disconnect, err := connect(ctx)
	if err != nil {
		return err
	}
	defer disconnect()
	r.Overrides = l.overrides()
	if err := l.succeed(&r); err != nil {
		return err
	}
	d, err := l.design(ctx, client, r, true)
	if err != nil {
		return err
	}
	d.request.Yes = yes
	if err := d.agree(ctx); err != nil {
		return errors.Join(err, d.close(false))
	}
	if err := d.install(ctx, manager); err != nil {
		return errors.Join(fmt.Errorf("%w; what is there already is removed with: podbottle quadlet uninstall %s", err, r.Spec.Identity), d.close(true))
	}
	fmt.Fprintf(d.Err, "Units of %s are in %s.\n", d.plan.Slug, d.quadletDir(d.plan.Slug))
	if !systemd.Lingers() {
		fmt.Fprintln(d.Err, "Warning: lingering is off, so that the bottle ends with your last session and does not start at boot; switch it on with: loginctl enable-linger")
	}
	return d.close(true)
}

// succeed takes over what an earlier installation of the name has chosen.
func (l *Launcher) succeed(r *UnitRequest) error {
	name := r.Spec.Identity
	old, err := l.installedUnits(name)
	if errors.Is(err, ErrNotInstalled) {
		return nil
	}
	if err != nil {
		return err
	}
	if agent := old.Request.Spec.AgentName; agent != r.Spec.AgentName {
		return fmt.Errorf("bottle %s is installed for the agent %s; say another --name, or remove it first with: podbottle quadlet uninstall %s", name, agent, name)
	}
	if !r.Subnet.IsValid() {
		r.Subnet = old.Request.Subnet
	}
	return nil
}

// agree checks the rest, asks the user, and makes the images: what fails until then
// leaves nothing.
func (d *design) agree(ctx context.Context) error {
	if err := d.refuseLive(ctx); err != nil {
		return err
	}
	if err := d.check(); err != nil {
		return err
	}
	if err := d.confirm("Install this bottle as systemd units?"); err != nil {
		return err
	}
	return d.makeImages(ctx)
}

// refuseLive refuses a name under which a bottle runs that is not systemd's, and whose
// state is gone.
func (d *design) refuseLive(ctx context.Context) error {
	name := d.plan.Slug
	if d.OwnedBySystemd(name) {
		return nil
	}
	if _, err := d.client.Find(ctx, name); err == nil {
		return fmt.Errorf("a bottle %s runs; stop it with podbottle stop %s, or say another --name", name, name)
	}
	return nil
}

// makeImages builds or pulls the images that are missing.
func (d *design) makeImages(ctx context.Context) error {
	_, err := d.ensureImages(ctx)
	return err
}

// install makes everything else. The record comes before the rest, so that what a
// failure leaves can be uninstalled; the units come last.
func (d *design) install(ctx context.Context, manager *systemd.Manager) error {
	if d.wrapper != "" {
		if _, err := pod.WriteWrapper(d.dataDir(), d.runsc); err != nil {
			return err
		}
	}
	if _, err := pod.WriteProfile(d.dataDir()); err != nil {
		return err
	}
	if err := state.MakeDir(d.tree.dir); err != nil {
		return err
	}
	if err := d.writeState(); err != nil {
		return err
	}
	if d.values {
		if err := d.setSecrets(ctx); err != nil {
			return err
		}
	}
	if err := d.writeUnits(ctx, manager); err != nil {
		return err
	}
	// The bottle's state and the agent's home outlive each stop.
	return errors.Join(state.SetPreserve(d.Root, d.plan.Slug), resolve.SaveLaunch(d.Root, d.plan))
}

// writeState keeps what the units need, and how they were asked for.
func (d *design) writeState() error {
	record := installed{Request: d.wanted}
	if d.hasBuild {
		record.Containerfile = filepath.Base(d.plan.DockerfilePath)
	}
	for _, u := range d.units {
		record.Units = append(record.Units, u.Name)
	}
	text, err := json.MarshalIndent(record, "", "  ")
	if err != nil {
		return err
	}
	snapshot, err := d.snapshot.JSON()
	if err != nil {
		return err
	}
	if d.plan.Supervise != nil {
		if err := supervise.CreateQueue(d.plan.Supervise.QueueDir); err != nil {
			return err
		}
	}
	if d.hasBuild {
		if err := d.writeContext(); err != nil {
			return err
		}
	}
	return errors.Join(
		state.WriteFile(d.tree.record(), append(text, '\n')),
		state.WriteFile(d.tree.snapshot(), snapshot),
		state.WriteFile(d.tree.prompt(), []byte(d.wanted.Prompt)),
	)
}

// setSecrets gives Podman the values, and takes away those of an earlier
// installation that no unit names any more.
func (d *design) setSecrets(ctx context.Context) error {
	wanted := map[string]bool{}
	for _, s := range quadlet.Secrets(d.bottle) {
		wanted[s.Name] = true
		if err := d.client.SetSecret(ctx, s.Name, d.bottle.Labels, s.Value); err != nil {
			return err
		}
	}
	objects, err := d.client.Objects(ctx)
	if err != nil {
		return err
	}
	for _, o := range objects {
		if o.Kind == "secret" && o.Slug == d.plan.Slug && !wanted[o.Name] {
			if err := d.client.RemoveObject(ctx, o); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeUnits replaces the bottle's directory of units in one step and makes
// systemd read it.
func (d *design) writeUnits(ctx context.Context, manager *systemd.Manager) error {
	timer := filepath.Join(d.timerDir(), quadlet.TimerUnit(d.plan.Slug))
	units, timers := split(d.units)
	if err := replaceUnits(d.quadletDir(d.plan.Slug), units); err != nil {
		return err
	}
	if len(timers) == 0 {
		if err := errors.Join(manager.Disable(ctx, filepath.Base(timer)), manager.Stop(ctx, filepath.Base(timer)), ignoreMissing(os.Remove(timer))); err != nil {
			return err
		}
		return manager.Reload(ctx)
	}
	if err := os.MkdirAll(filepath.Dir(timer), 0o755); err != nil { // #nosec G301 -- as systemctl --user edit makes it
		return err
	}
	if err := state.WriteFile(timer, []byte(timers[0].Text)); err != nil {
		return err
	}
	if err := manager.Reload(ctx); err != nil {
		return err
	}
	return errors.Join(manager.Enable(ctx, filepath.Base(timer)), manager.Restart(ctx, filepath.Base(timer)))
}

// split tells Quadlet's units from systemd's own.
func split(units []quadlet.Unit) (ofQuadlet, timers []quadlet.Unit) {
	for _, u := range units {
		if u.IsTimer() {
			timers = append(timers, u)
		} else {
			ofQuadlet = append(ofQuadlet, u)
		}
	}
	return ofQuadlet, timers
}

// replaceUnits puts a directory with the units in the place of an earlier one.
func replaceUnits(dir string, units []quadlet.Unit) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil { // #nosec G301 -- ~/.config/containers
		return err
	}
	// Made above the directory that generators read, in the same file system.
	return state.ReplaceDir(dir, filepath.Dir(filepath.Dir(dir)), func(fresh string) error {
		for _, u := range units {
			if err := os.WriteFile(filepath.Join(fresh, u.Name), []byte(u.Text), 0o600); err != nil {
				return err
			}
		}
		return nil
	})
}

// HowToStart says how a bottle that was installed gets to run.
func (l *Launcher) HowToStart(ctx context.Context, name string) error {
	manager, err := systemd.Connect(ctx)
	if err != nil {
		return err
	}
	defer manager.Close()
	runs, err := manager.Runs(ctx, quadlet.PodService(name))
	if err != nil {
		return err
	}
	if runs {
		fmt.Fprintf(l.Err, "It runs with its old units until: podbottle quadlet restart %s\n", name)
		return nil
	}
	fmt.Fprintf(l.Err, "Start it with: podbottle quadlet start %s\n", name)
	return nil
}
