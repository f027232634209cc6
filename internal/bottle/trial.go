package bottle

import (
	"context"
	"fmt"

	"github.com/podbottle/podbottle/internal/blueprint"
	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/pod"
)

// Trial changes a bottle that is started to be attacked by podbottle verify.
type Trial struct {
	// Command runs in the place of the agent's own.
	Command []string
	// Routes are added to the manifest's.
	Routes []egress.Route
	// Hosts are names that the sidecars know.
	Hosts []blueprint.Host
}

// try puts the trial's routes and command into the plan.
func (s *launch) try(t *Trial) {
	s.plan.AgentProvision.Template = "command"
	s.plan.AgentProvision.Command = t.Command
	if s.plan.Egress.TokenRefs == nil {
		s.plan.Egress.TokenRefs = map[string]string{}
	}
	for _, route := range t.Routes {
		if route.TokenRef != "" {
			route.TokenEnv = s.freeSlot()
			s.plan.Egress.TokenRefs[route.TokenEnv] = route.TokenRef
		}
		s.plan.Egress.Routes = append(s.plan.Egress.Routes, route)
	}
	s.plan.Pipelock.Routes = s.plan.Egress.Routes
}

// freeSlot is the first token slot that no route has.
func (s *launch) freeSlot() string {
	for n := 0; ; n++ {
		slot := fmt.Sprintf("EGRESS_TOKEN_%d", n)
		if _, taken := s.plan.Egress.TokenRefs[slot]; !taken {
			return slot
		}
	}
}

// Sidecar makes sure that the sidecars' image is there, and names it.
func (l *Launcher) Sidecar(ctx context.Context, client *pod.Client) (pod.Sidecar, error) {
	binary, err := pod.SidecarBinary()
	if err != nil {
		return pod.Sidecar{}, err
	}
	return client.EnsureSidecar(ctx, binary, l.dataDir())
}
