package pod

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/domain/entities/types"

	"github.com/podbottle/podbottle/internal/blueprint"
)

// Summary is one bottle as Podman sees it now.
type Summary struct {
	Slug     string    `json:"slug"`
	Agent    string    `json:"agent"`
	Bottle   string    `json:"bottle"`
	Firewall string    `json:"firewall"`
	Runtime  string    `json:"runtime"` // runsc | crun: what the agent was created under
	Status   string    `json:"status"`  // running | starting | degraded | stopped
	Created  time.Time `json:"created"`
	// Services maps each service to its container's state: Podman's, lost or unmonitored.
	Services map[string]string `json:"services"`
	// Container is the agent's.
	Container string `json:"container"`
}

// ServiceNames are the bottle's services, sorted, those that do not run marked.
func (s Summary) ServiceNames() string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(s.Services)) {
		if state := s.Services[name]; state != "running" {
			name += "(" + state + ")"
		}
		names = append(names, name)
	}
	return strings.Join(names, ",")
}

// List returns the bottles that Podman holds, oldest first.
func (c *Client) List(ctx context.Context) ([]Summary, error) {
	all, err := containers.List(c.with(ctx), new(containers.ListOptions).WithAll(true).WithFilters(map[string][]string{"label": {blueprint.LabelSlug}}))
	if err != nil {
		return nil, fmt.Errorf("list of containers: %w", err)
	}
	return summarise(all), nil
}

// ErrNoBottle says that Podman has nothing of a bottle.
var ErrNoBottle = errors.New("no bottle")

// Find returns the bottle of one slug.
func (c *Client) Find(ctx context.Context, slug string) (Summary, error) {
	all, err := c.List(ctx)
	if err != nil {
		return Summary{}, err
	}
	for _, s := range all {
		if s.Slug == slug {
			return s, nil
		}
	}
	return Summary{}, fmt.Errorf("%w %s; podbottle list shows those there are", ErrNoBottle, slug)
}

// summarise groups containers by bottle. It is not given the infra containers'
// roles: they carry the bottle's labels but no service.
func summarise(all []types.ListContainer) []Summary {
	bottles := map[string]*Summary{}
	for _, container := range all {
		slug := container.Labels[blueprint.LabelSlug]
		if container.Labels[blueprint.LabelService] == copyService {
			continue // looks into a home for a moment; no member of the bottle
		}
		s := bottles[slug]
		if s == nil {
			s = &Summary{Slug: slug, Services: map[string]string{}}
			bottles[slug] = s
		}
		s.Agent = cmp.Or(s.Agent, container.Labels[blueprint.LabelAgent])
		s.Bottle = cmp.Or(s.Bottle, container.Labels[blueprint.LabelBottle])
		s.Firewall = cmp.Or(s.Firewall, container.Labels[blueprint.LabelFirewall])
		service := container.Labels[blueprint.LabelService]
		if service == "" && container.IsInfra {
			service = "infra"
		}
		s.Services[service] = stateOf(container)
		if service == string(blueprint.Agent) {
			s.Created = container.Created
			s.Container = container.Names[0]
			s.Runtime = container.Labels[blueprint.LabelRuntime]
		}
	}
	list := make([]Summary, 0, len(bottles))
	for _, s := range bottles {
		s.Status = status(s.Services)
		list = append(list, *s)
	}
	slices.SortFunc(list, func(a, b Summary) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Slug, b.Slug)) })
	return list
}

// status sums the services up: an agent without one of its sidecars is degraded.
func status(services map[string]string) string {
	switch services[string(blueprint.Agent)] {
	case "running", stateUnmonitored:
	case "created", "initialized", "configured", "":
		return "starting"
	default:
		return "stopped"
	}
	for _, state := range services {
		if state != "running" {
			return "degraded"
		}
	}
	return "running"
}
