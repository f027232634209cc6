package bottle

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/podbottle/podbottle/internal/pod"
	"github.com/podbottle/podbottle/internal/resolve"
	"github.com/podbottle/podbottle/internal/state"
)

// sessionEnd does what follows the agent's end: with status 0 nothing is kept;
// otherwise the state and the agent's home are, and the user is told how to go
// on. A detached bottle is left as it is.
func (l *Launcher) sessionEnd(ctx context.Context, slug string, code int, cause error) (int, error) {
	if errors.Is(cause, pod.ErrDetached) {
		fmt.Fprintf(l.Err, "\nDetached from %s, which goes on. Come back with: podbottle attach %s\n", slug, slug)
		return 0, nil
	}
	if ctx.Err() != nil {
		code, cause = interrupted(ctx), nil
	}
	if errors.Is(cause, pod.ErrLost) {
		return code, fmt.Errorf("%w; the bottle %s goes on: come back with: podbottle attach %s", cause, slug, slug)
	}
	if l.OwnedBySystemd(slug) {
		return code, l.ownedEnd(slug, cause)
	}
	if rebuilt, err := resolve.AwaitsRebuild(l.Root, slug); err == nil && rebuilt && ctx.Err() == nil {
		return l.endRebuilt(ctx, slug)
	}
	if errors.Is(cause, pod.ErrGone) {
		return code, fmt.Errorf("the bottle %s was taken down by another podbottle", slug)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), teardownTime)
	defer cancel()
	keep := code != 0 || cause != nil || state.Preserved(l.Root, slug)
	client, err := pod.Connect(ctx)
	if err != nil {
		return code, errors.Join(cause, err)
	}
	defer client.Close()
	return code, errors.Join(cause, l.takeDown(ctx, client, slug, keep))
}

// ownedEnd says how an agent of systemd is come back to.
func (l *Launcher) ownedEnd(name string, cause error) error {
	if errors.Is(cause, pod.ErrGone) {
		return fmt.Errorf("systemd stopped the agent of %s; see podbottle quadlet status %s, and come back with: podbottle attach %s", name, name, name)
	}
	fmt.Fprintf(l.Err, "The bottle %s is systemd's and stays. Start its agent again with: podbottle quadlet restart %s\n", name, name)
	return cause
}

// takeDown removes the bottle and says how to go on with one that is kept.
func (l *Launcher) takeDown(ctx context.Context, client *pod.Client, slug string, keep bool) error {
	done := l.Progress.Step("take " + slug + " down")
	err := l.remove(ctx, client, slug, keep)
	done(err)
	if keep && state.Preserved(l.Root, slug) {
		fmt.Fprintf(l.Err, "The state of %s is kept. Go on with: podbottle resume %s\n", slug, slug)
	}
	return err
}

// remove removes the bottle from Podman, and either keeps its state for a resume,
// with a snapshot of the conversation, or removes that too.
func (l *Launcher) remove(ctx context.Context, client *pod.Client, slug string, keep bool) error {
	runtime, err := l.RuntimeDir(slug)
	if err != nil {
		return err
	}
	if !keep {
		return errors.Join(client.Down(ctx, slug, runtime, false), removeState(l.Root, slug))
	}
	marked := state.SetPreserve(l.Root, slug)
	return errors.Join(marked, client.Down(ctx, slug, runtime, true), l.snapshotTranscript(ctx, client, slug))
}

// removeState removes a bottle's state, with the files that its sidecars wrote.
func removeState(root, slug string) error { return state.RemoveUsing(root, slug, pod.RemoveTree) }

// interrupted is the status of a process that a signal ended, as shells have it.
func interrupted(ctx context.Context) int {
	const base = 128
	var s SignalError
	if errors.As(context.Cause(ctx), &s) {
		return base + int(s.Signal)
	}
	return base + int(syscall.SIGINT)
}

// SignalError is the cause of a context that a signal ended.
type SignalError struct{ Signal syscall.Signal }

func (e SignalError) Error() string { return "interrupted by the signal " + unix.SignalName(e.Signal) }

// Stop ends bottles and prints their slugs. Their state is kept for resume unless
// discard is set, which also removes that of a bottle that does not run.
func (l *Launcher) Stop(ctx context.Context, names []string, discard bool) error {
	client, err := pod.Connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	return l.stopAtOnce(ctx, client, names, discard)
}

// StopAll is Stop for every bottle that Podman holds.
func (l *Launcher) StopAll(ctx context.Context, discard bool) error {
	client, err := pod.Connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	held, err := client.List(ctx)
	if err != nil {
		return err
	}
	return l.stopAtOnce(ctx, client, slugsOf(held), discard)
}

func (l *Launcher) stopAtOnce(ctx context.Context, client *pod.Client, names []string, discard bool) error {
	problems := make([]error, len(names))
	var group errgroup.Group
	group.SetLimit(stopsAtOnce)
	for i, name := range names {
		group.Go(func() error {
			problems[i] = l.stop(ctx, client, name, discard)
			return nil
		})
	}
	_ = group.Wait()
	return errors.Join(problems...)
}

// stopsAtOnce bounds how many bottles are taken down at the same time; Podman
// takes its network down one by one in any case.
const stopsAtOnce = 4

func (l *Launcher) stop(ctx context.Context, client *pod.Client, name string, discard bool) error {
	found, err := l.find(ctx, client, name)
	slug := found.Slug
	switch {
	case discard && slug != "" && slug != name:
		return fmt.Errorf("--discard removes the agent's work, so it wants the whole slug: podbottle stop --discard %s", slug)
	case slug != "" && l.OwnedBySystemd(slug):
		return l.stopOwned(ctx, slug, discard)
	case errors.Is(err, errNotHeld):
		return l.stopUnheld(ctx, client, slug, discard, err)
	case err != nil:
		return err
	}
	if err := l.takeDown(ctx, client, slug, !discard); err != nil {
		return err
	}
	fmt.Fprintln(l.Out, slug)
	return nil
}

// stopUnheld discards a bottle of which there is nothing but state; notHeld says so.
func (l *Launcher) stopUnheld(ctx context.Context, client *pod.Client, slug string, discard bool, notHeld error) error {
	if !discard {
		return fmt.Errorf("%w, or remove it with podbottle stop --discard %s", notHeld, slug)
	}
	lock, err := state.Lock(l.Root, slug)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Unlock() }()
	if err := l.takeDown(ctx, client, slug, false); err != nil {
		return err
	}
	fmt.Fprintln(l.Out, slug)
	return nil
}

// stopOwned stops a bottle that systemd would otherwise start again.
func (l *Launcher) stopOwned(ctx context.Context, name string, discard bool) error {
	if discard {
		return fmt.Errorf("bottle %s is installed as units; remove it with: podbottle quadlet uninstall %s", name, name)
	}
	if err := l.StopUnits(ctx, name); err != nil {
		return err
	}
	fmt.Fprintln(l.Out, name)
	return nil
}
