package bottle

import (
	"context"
	"errors"

	"github.com/podbottle/podbottle/internal/pod"
	"github.com/podbottle/podbottle/internal/resolve"
	"github.com/podbottle/podbottle/internal/state"
	"github.com/podbottle/podbottle/internal/supervise"
)

// Listed is one bottle as podbottle list shows it.
type Listed struct {
	pod.Summary
	Label   string `json:"label,omitempty"`
	Waiting int    `json:"waiting"` // proposals that wait for an answer
}

// List returns the bottles that Podman holds and, with all, those whose state is
// kept for a resume.
func (l *Launcher) List(ctx context.Context, all bool) ([]Listed, error) {
	client, err := pod.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	summaries, err := client.List(ctx)
	if err != nil {
		return nil, err
	}
	live := map[string]bool{}
	var list []Listed
	for _, s := range summaries {
		live[s.Slug] = true
		list = append(list, l.listed(s))
	}
	if !all {
		return list, nil
	}
	kept, err := state.List(l.Root)
	if err != nil {
		return nil, err
	}
	for _, slug := range kept {
		if live[slug] {
			continue
		}
		meta, err := state.ReadMetadata(l.Root, slug)
		if err != nil && !errors.Is(err, state.ErrNoMetadata) {
			return nil, err
		}
		list = append(list, l.listed(l.unheld(slug, meta)))
	}
	return list, nil
}

// unheld is a bottle of which there is state and nothing in Podman.
func (l *Launcher) unheld(slug string, meta state.Metadata) pod.Summary {
	s := pod.Summary{Slug: slug, Agent: meta.AgentName, Status: "stale", Created: meta.Started, Firewall: meta.Firewall}
	switch {
	case l.OwnedBySystemd(slug):
		s.Status = "installed"
	case state.Preserved(l.Root, slug):
		s.Status = "kept"
	}
	if plan, err := resolve.LastPlan(l.Root, slug); err == nil && plan.Slug == slug {
		s.Bottle, s.Runtime = plan.BottleName, RuntimeCrun
		if plan.UseRunsc {
			s.Runtime = RuntimeRunsc
		}
	}
	return s
}

// listed adds what the state tree says.
func (l *Launcher) listed(s pod.Summary) Listed {
	entry := Listed{Summary: s}
	if tree, err := state.Of(l.Root, s.Slug); err == nil {
		// A bottle without supervise has no queue, and nothing waits in it.
		entry.Waiting, _ = supervise.Waiting(tree.Queue())
	}
	// The plan has the manifest's label too. What cannot be read any more is in nobody's way.
	if plan, err := resolve.LastPlan(l.Root, s.Slug); err == nil && plan.Slug == s.Slug {
		entry.Label = plan.Label
	} else if meta, err := state.ReadMetadata(l.Root, s.Slug); err == nil {
		entry.Label = meta.Label
	}
	return entry
}
