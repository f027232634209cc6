package bottle

import (
	"context"
	"errors"
	"fmt"

	"github.com/podbottle/podbottle/internal/pod"
	"github.com/podbottle/podbottle/internal/state"
)

// pickUp prepares a kept bottle for its resume, once its lock is held: whatever a
// crash left of it in Podman goes, but for the agent's home.
func (s *launch) pickUp(ctx context.Context, slug string) error {
	found, err := s.client.Find(ctx, slug)
	switch {
	case errors.Is(err, pod.ErrNoBottle):
	case err != nil:
		return err
	case found.Status == "running", found.Status == "degraded":
		return fmt.Errorf("bottle %s still runs; come back to it with podbottle attach %s, or take it down first with podbottle stop %s", slug, slug, slug)
	}
	if s.keptHome, err = s.client.HasHome(ctx, slug); err != nil {
		return err
	}
	if s.request.DryRun {
		return nil
	}
	// A crash left no marker: what fails from here on must not look like a bottle that
	// nobody wants any more.
	if err := state.SetPreserve(s.Root, slug); err != nil {
		return err
	}
	if s.request.WithdrawImage {
		if err := state.WithdrawDockerfile(s.Root, slug); err != nil {
			return err
		}
	}
	if !s.keptHome {
		fmt.Fprintf(s.Err, "Warning: the home of %s is gone from Podman; the agent begins with that of its image\n", slug)
	}
	runtime, err := s.RuntimeDir(slug)
	if err != nil {
		return err
	}
	return s.client.Down(ctx, slug, runtime, true)
}
