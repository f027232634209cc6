package bottle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/podbottle/podbottle/internal/containerfile"
	"github.com/podbottle/podbottle/internal/pod"
	"github.com/podbottle/podbottle/internal/quadlet"
	"github.com/podbottle/podbottle/internal/resolve"
	"github.com/podbottle/podbottle/internal/state"
	"github.com/podbottle/podbottle/internal/supervise"
)

// rebuildUnits are the steps that take a bottle of systemd into a new image: the
// image is built while the bottle runs, then the Containerfile and the units are
// replaced, and at last systemd starts the bottle again.
func (l *Launcher) rebuildUnits(name string) supervise.Rebuild {
	r := &unitRebuild{l, name, UnitRequest{}}
	return supervise.Rebuild{
		Check: r.check, Build: r.build, Write: r.write, Withdraw: r.withdraw, TakeDown: r.restart,
		Follows: "Its image is built first. If the bottle runs, systemd then starts it again in the new image, with the agent's home as it was.",
		Mend: fmt.Sprintf("see podbottle quadlet logs %s, and start it again with: podbottle quadlet restart %s; or go back to the image before with: podbottle quadlet restart %s --withdraw-image",
			name, name, name),
	}
}

// unitRebuild is one such approval.
type unitRebuild struct {
	*Launcher
	name   string
	before UnitRequest // by which the bottle was installed until then
}

// check also refuses an image that is made from the one that it replaces: the build
// unit would add its lines again at each start.
func (r *unitRebuild) check(file []byte) error {
	if own := resolve.RebuiltImage(r.name); bytes.Contains(file, []byte(own)) {
		return fmt.Errorf("the Containerfile names %s, which is the image that it would become; it has to say what that is made from", own)
	}
	return containerfile.Check(file)
}

// build builds the image, from the Containerfile alone and for the bottle alone.
func (r *unitRebuild) build(ctx context.Context, file []byte) error {
	if err := r.unchanged(ctx, r.name); err != nil {
		return err
	}
	client, err := pod.Connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	image := r.rebuiltImage(r.name, file)
	if err := r.buildImage(ctx, client, image); err != nil {
		return err
	}
	_, err = client.CheckImage(ctx, image.name)
	return err
}

// write installs the bottle with the Containerfile. The running bottle is not touched.
func (r *unitRebuild) write(ctx context.Context, file []byte) error {
	record, err := r.installedUnits(r.name)
	if err != nil {
		return err
	}
	r.before = record.Request
	if err := r.unchanged(ctx, r.name); err != nil {
		return err
	}
	after := record.Request
	if after.Resume, err = r.conversed(ctx, after); err != nil {
		return err
	}
	if err := r.approveRebuild(r.name, file); err != nil {
		return err
	}
	if err := r.reinstall(ctx, after); err != nil {
		return errors.Join(err, r.withdraw(context.WithoutCancel(ctx)))
	}
	return nil
}

// conversed tells whether there is a conversation for the agent to continue.
func (r *unitRebuild) conversed(ctx context.Context, request UnitRequest) (bool, error) {
	if request.Headless {
		return false, nil
	}
	client, err := pod.Connect(ctx)
	if err != nil {
		return false, err
	}
	defer client.Close()
	if err := r.snapshotTranscript(ctx, client, r.name); err != nil {
		return false, err
	}
	tree, err := state.Of(r.Root, r.name)
	if err != nil {
		return false, err
	}
	_, err = os.Stat(tree.Transcript())
	return err == nil, ignoreMissing(err)
}

// withdraw goes back to the Containerfile and the units before.
func (r *unitRebuild) withdraw(ctx context.Context) error {
	if err := state.WithdrawDockerfile(r.Root, r.name); err != nil {
		return fmt.Errorf("the units stay those of the new image: %w", err)
	}
	return r.reinstall(ctx, r.before)
}

// restart starts a bottle that runs again, in its new image. A headless agent runs
// its prompt anew, and is not waited for.
func (r *unitRebuild) restart(ctx context.Context) error {
	record, manager, err := r.manage(ctx, r.name)
	if err != nil {
		return err
	}
	defer manager.Close()
	agent := quadlet.AgentService(r.name)
	if runs, err := manager.Runs(ctx, agent); err != nil || !runs {
		return err
	}
	client, err := pod.Connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := r.StopUnits(ctx, r.name); err != nil {
		return err
	}
	kept := r.snapshotTranscript(ctx, client, r.name)
	if record.Request.Headless {
		return errors.Join(kept, manager.Queue(ctx, agent))
	}
	_, err = r.StartUnits(ctx, r.name)
	return errors.Join(kept, err)
}

// unchanged refuses to write units anew where that would change more than was asked
// for: what the manifest says by now was not confirmed.
func (l *Launcher) unchanged(ctx context.Context, name string) error {
	changes, err := l.Diff(ctx, name)
	if err != nil {
		return err
	}
	if changes != "" {
		return fmt.Errorf("what is installed of %s is not what its manifest says by now; see podbottle quadlet diff %s, and install it again first", name, name)
	}
	return nil
}

// reinstall writes an installed bottle's units and files again. Its secrets stay.
func (l *Launcher) reinstall(ctx context.Context, r UnitRequest) error {
	client, manager, disconnect, err := connect(ctx)
	if err != nil {
		return err
	}
	defer disconnect()
	d, err := l.quiet().design(ctx, client, r, false)
	if err != nil {
		return err
	}
	err = d.makeImages(ctx)
	if err == nil {
		err = d.install(ctx, manager)
	}
	return errors.Join(err, d.close(true))
}

// WithdrawUnitImage goes back to the image before the last approved capability
// change, from the bottle's next start on.
func (l *Launcher) WithdrawUnitImage(ctx context.Context, name string) error {
	record, err := l.installedUnits(name)
	if err != nil {
		return err
	}
	if err := l.unchanged(ctx, name); err != nil {
		return err
	}
	tree, err := state.Of(l.Root, name)
	if err != nil {
		return err
	}
	own, err := os.ReadFile(tree.Dockerfile())
	if ignoreMissing(err) != nil {
		return err
	}
	if err := state.WithdrawDockerfile(l.Root, name); err != nil {
		return err
	}
	if err := l.reinstall(ctx, record.Request); err != nil {
		return errors.Join(err, state.ReplaceDockerfile(l.Root, name, own))
	}
	return nil
}
