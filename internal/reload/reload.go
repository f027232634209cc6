// Package reload tells a sidecar when the files that it was configured with have been
// replaced on the host.
package reload

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settleTime is how long a change of the directory may go on before it is reported: a
// rename makes several events.
const settleTime = 5 * time.Millisecond

// settleLimit bounds that, for a directory that is written to all the time.
const settleLimit = 50 * time.Millisecond

// Watch calls changed once, for what was changed before the watch began, and then
// after every change in dir, until ctx ends. It may call it for nothing. The error is
// that dir cannot be watched.
func Watch(ctx context.Context, dir string, log *slog.Logger, changed func()) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watching %s: %w", dir, err)
	}
	defer watcher.Close()
	if err := watcher.Add(dir); err != nil {
		return fmt.Errorf("watching %s: %w", dir, err)
	}
	changed()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-watcher.Errors: // such as events that were lost
			log.Error("watching", "directory", dir, "error", err)
		case <-watcher.Events:
			settle(ctx, watcher.Events)
		}
		changed()
	}
}

// settle waits until no event has come for settleTime, for settleLimit at most.
func settle(ctx context.Context, events <-chan fsnotify.Event) {
	timer, limit := time.NewTimer(settleTime), time.NewTimer(settleLimit)
	defer timer.Stop()
	defer limit.Stop()
	for {
		select {
		case <-events:
			timer.Reset(settleTime)
		case <-timer.C:
			return
		case <-limit.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
