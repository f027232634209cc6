package bottle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/podbottle/podbottle/internal/archive"
	"github.com/podbottle/podbottle/internal/pod"
	"github.com/podbottle/podbottle/internal/resolve"
	"github.com/podbottle/podbottle/internal/state"
)

// maxTranscript bounds the snapshot of a conversation, in bytes: the agent decides
// how much there is.
const maxTranscript = 256 << 20

// snapshotTranscript copies the agent's conversations out of its home into the
// state, in the place of those of an earlier end. The bottle need not run.
func (l *Launcher) snapshotTranscript(ctx context.Context, client *pod.Client, slug string) error {
	launched, err := resolve.Launched(l.Root, slug)
	if err != nil || launched.Transcript == "" {
		return err
	}
	tree, err := state.Of(l.Root, slug)
	if err != nil {
		return err
	}
	sidecar, err := l.Sidecar(ctx, client)
	if err != nil {
		return err
	}
	end := copyEnd{path: launched.Transcript, run: func(ctx context.Context, args []string, streams pod.IO) (int, error) {
		return client.CopyHome(ctx, slug, sidecar.Image, launched.GuestHome, args, streams)
	}}
	fresh := tree.Transcript() + ".new" // left there by an interrupted end, perhaps
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	quiet := l.quiet() // links that lead out of the conversations are nobody's loss
	const name = "transcript"
	err = quiet.receive(ctx, end, archive.PackArgs(end.path, name), func(r io.Reader) error {
		_, err := archive.Unpack(io.LimitReader(r, maxTranscript), tree.Dir(), name, filepath.Base(fresh))
		return err
	})
	if err != nil && strings.Contains(err.Error(), "no such file or directory") {
		return nil // nothing was said yet
	}
	if err != nil {
		return fmt.Errorf("transcript of %s: %w", slug, err)
	}
	return errors.Join(state.Exchange(fresh, tree.Transcript()), os.RemoveAll(fresh))
}
