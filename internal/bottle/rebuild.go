package bottle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/podbottle/podbottle/internal/containerfile"
	"github.com/podbottle/podbottle/internal/pod"
	"github.com/podbottle/podbottle/internal/state"
	"github.com/podbottle/podbottle/internal/supervise"
)

// ExitRebuild is the status of a session that ended because a human approved
// another image: nothing failed, and resume goes on (EX_TEMPFAIL of sysexits(3)).
const ExitRebuild = 75

// rebuild are the steps that take a bottle into a new image.
func (l *Launcher) rebuild(slug string) supervise.Rebuild {
	if l.OwnedBySystemd(slug) {
		return l.rebuildUnits(slug)
	}
	return supervise.Rebuild{
		Check:    containerfile.Check,
		Write:    func(_ context.Context, file []byte) error { return l.approveRebuild(slug, file) },
		Withdraw: func(context.Context) error { return state.WithdrawDockerfile(l.Root, slug) },
		TakeDown: func(ctx context.Context) error { return l.endForRebuild(ctx, slug) },
		Follows:  "The bottle stops now and goes on in the new image with: podbottle resume " + slug,
		Mend:     "stop it and type: podbottle resume " + slug,
	}
}

// recipe is the bottle's own Containerfile; empty without one.
func (l *Launcher) recipe(slug string) string {
	tree, err := state.Of(l.Root, slug)
	if err != nil {
		return ""
	}
	text, err := os.ReadFile(tree.Dockerfile())
	if err != nil {
		return ""
	}
	return string(text)
}

// approveRebuild makes a Containerfile the bottle's own.
func (l *Launcher) approveRebuild(slug string, file []byte) error {
	if err := state.SetPreserve(l.Root, slug); err != nil {
		return err
	}
	return state.ReplaceDockerfile(l.Root, slug, file)
}

// endForRebuild takes the bottle down and keeps what resume needs. Its caller may
// own the screen, so it prints nothing.
func (l *Launcher) endForRebuild(ctx context.Context, slug string) error {
	client, err := pod.Connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	return l.remove(ctx, client, slug, true)
}

// endRebuilt ends a session whose bottle is taken down for another image by the
// podbottle that approved it. The bottle's lock is held until that is done, so that
// nothing of the new bottle can be taken down with the old one.
func (l *Launcher) endRebuilt(ctx context.Context, slug string) (int, error) {
	fmt.Fprintf(l.Err, "\nA human approved another image for %s, so it stopped. It goes on in that image with: podbottle resume %s\n", slug, slug)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), teardownTime)
	defer cancel()
	runtime, err := l.RuntimeDir(slug)
	if err != nil {
		return ExitRebuild, err
	}
	const patience = teardownTime / 2
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		if _, err := os.Lstat(runtime); errors.Is(err, fs.ErrNotExist) {
			return ExitRebuild, nil // the last that goes
		}
		if !pause(ctx, 50*time.Millisecond) {
			break
		}
	}
	client, err := pod.Connect(ctx)
	if err != nil {
		return ExitRebuild, err
	}
	defer client.Close()
	return ExitRebuild, l.remove(ctx, client, slug, true)
}
