package mcpserver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/podbottle/podbottle/internal/supervise"
)

// sweepEvery is how often the queue is read although nothing was reported: for
// deadlines, and for a filesystem that reports no changes.
const sweepEvery = 2 * time.Second

// watch takes answers out of the queue, ends proposals that waited too long, and
// wakes the calls that wait.
func (s *Server) watch(ctx context.Context) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch queue %s: %w", s.queue.Dir(), err)
	}
	defer watcher.Close()
	if err := watcher.Add(s.queue.Dir()); err != nil {
		return fmt.Errorf("watch queue %s: %w", s.queue.Dir(), err)
	}
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
			s.config.Log.Error("queue", "error", err.Error())
		}
		if err := waitForChange(ctx, watcher, tick.C); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
}

// waitForChange returns when a file has come into the queue, or at the next tick.
func waitForChange(ctx context.Context, watcher *fsnotify.Watcher, tick <-chan time.Time) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick:
			return nil
		case event, ok := <-watcher.Events:
			if !ok {
				return errors.New("watch queue: the watcher ended")
			}
			if event.Has(fsnotify.Create) {
				return nil
			}
		case err, ok := <-watcher.Errors:
			if !ok {
				return errors.Join(errors.New("watch queue: the watcher ended"), err)
			}
			return nil // such as events that were lost: look again
		}
	}
}

// sweep archives what is answered and expires what is overdue.
func (s *Server) sweep(ctx context.Context) error {
	answered, err := s.queue.Answered()
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range answered {
		errs = append(errs, s.archive(ctx, id))
	}
	pending, damaged := s.queue.Pending()
	errs = append(errs, damaged...)
	for _, p := range pending {
		if s.overdue(p) {
			errs = append(errs, s.expire(ctx, p))
		}
	}
	return errors.Join(errs...)
}

func (s *Server) archive(ctx context.Context, id string) error {
	unlock, err := s.queue.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	entry, err := s.queue.Find(id)
	if err != nil {
		return fmt.Errorf("answer to %s: %w", id, err)
	}
	if err := s.queue.Archive(id); err != nil {
		return err
	}
	if entry.Response != nil {
		s.config.Log.Info("answered", "id", id, "tool", entry.Proposal.Tool, "status", entry.Response.Status)
	}
	s.wake()
	return s.queue.Prune(s.config.Limits.Archived)
}

// overdue reports whether a proposal has waited longer than an operator has.
// With deny it is always true: a proposal left by an interrupted call is ended.
func (s *Server) overdue(p supervise.Proposal) bool {
	return time.Since(p.Time) >= time.Duration(s.config.OnApproval)
}

// expire ends a proposal that nobody answered, so that an approval cannot come
// after the agent was told no.
func (s *Server) expire(ctx context.Context, p supervise.Proposal) error {
	unlock, err := s.queue.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	entry, err := s.queue.Find(p.ID)
	if err != nil || entry.Response != nil {
		return err // an operator was quicker
	}
	return s.respond(p, supervise.StatusExpired, fmt.Sprintf("no operator answered within %v; nothing was permitted", time.Duration(s.config.OnApproval)))
}

// wake lets every waiting call look again.
func (s *Server) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}

// changes returns a channel that closes at the next wake.
func (s *Server) changes() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}
