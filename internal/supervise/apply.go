package supervise

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
	"github.com/rogpeppe/go-internal/diff"

	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/visible"
)

// apply changes the live bottle, and the manifest where that was asked for. The
// route table comes after what it needs and is the last live file, since it is
// the one that lets requests out.
func (b Bottle) apply(ctx context.Context, g Grant, done *undoList) error {
	table, err := b.readRoutes()
	if err != nil {
		return err
	}
	if !bytes.Equal(table, g.Change.Before) {
		return ErrChanged
	}
	if err := b.writeToken(g, done); err != nil {
		return err
	}
	if err := b.replaceFirewall(ctx, g.Change.firewall, done); err != nil {
		return err
	}
	if err := b.replaceRoutes(ctx, g.Change, done); err != nil {
		return err
	}
	if g.Scope != ScopeManifest || g.Manifest.Diff == "" {
		return nil
	}
	if err := g.Manifest.write(); err != nil {
		return err
	}
	done.add(g.Manifest.undo)
	return nil
}

// writeToken puts the new credential where egress reads it.
func (b Bottle) writeToken(g Grant, done *undoList) error {
	if g.Change.Slot == "" {
		return nil
	}
	path := filepath.Join(b.Secrets, g.Change.Slot)
	done.add(func() error {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
	if err := replaceFile(path, []byte(g.Token.Reveal())); err != nil {
		return fmt.Errorf("write the credential %s: %w", g.Change.Slot, err)
	}
	return nil
}

// replaceRoutes puts the new table in force and waits until egress says so.
func (b Bottle) replaceRoutes(ctx context.Context, c Change, done *undoList) error {
	if bytes.Equal(c.Before, c.After) {
		return nil
	}
	done.add(func() error { return replaceFile(b.Routes, c.Before) })
	start := time.Now()
	if err := replaceFile(b.Routes, c.After); err != nil {
		return fmt.Errorf("the routes: %w", err)
	}
	want := egress.Fingerprint(c.After)
	return WaitForStatus(ctx, b.RoutesStatus, func(s egress.RoutesStatus) (bool, error) {
		if s.SHA256 != want && s.Error != "" && s.Time.After(start) {
			return false, fmt.Errorf("egress refuses the new routes: %s", s.Error)
		}
		return s.SHA256 == want, nil
	})
}

// replaceFile replaces a file of a live bottle in one step. It is readable by all,
// since a container's user reads it; the bottle's directory is closed to others.
func replaceFile(path string, data []byte) error {
	return renameio.WriteFile(path, data, 0o444, renameio.WithStaticPermissions(0o444), renameio.WithTempDir(filepath.Dir(path)))
}

// ContainerfileDiff shows the proposed Containerfile against the current one, with
// everything in it made visible.
func ContainerfileDiff(current, proposed []byte) string {
	return string(diff.Diff("Containerfile now", visibleText(current), "Containerfile afterwards", visibleText(proposed)))
}

func visibleText(text []byte) []byte {
	if len(text) == 0 {
		return nil
	}
	var out bytes.Buffer
	for _, line := range visible.Lines(string(text)) {
		out.WriteString(line + "\n")
	}
	return out.Bytes()
}
