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

// Stop ends running bottles. Their state is kept for resume unless discard is set.
func (l *Launcher) Stop(ctx context.Context, slugs []string, discard bool) error {
	client, err := pod.Connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	problems := make([]error, len(slugs))
	var group errgroup.Group
	group.SetLimit(stopsAtOnce)
	for i, slug := range slugs {
		group.Go(func() error {
			problems[i] = l.stop(ctx, client, slug, discard)
			return nil
		})
	}
	_ = group.Wait()
	return errors.Join(problems...)
}

// stopsAtOnce bounds how many bottles are taken down at the same time; Podman
// takes its network down one by one in any case.
const stopsAtOnce = 4

func (l *Launcher) stop(ctx context.Context, client *pod.Client, slug string, discard bool) error {
	if _, err := client.Find(ctx, slug); err != nil {
		return err
	}
	if l.OwnedBySystemd(slug) {
		return l.stopOwned(ctx, slug, discard)
	}
	if err := l.takeDown(ctx, client, slug, !discard); err != nil {
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
