package bottle

import (
	"slices"
	"strings"
	"testing"

	"github.com/podbottle/podbottle/internal/blueprint"
	"github.com/podbottle/podbottle/internal/pod"
)

func TestDeadSidecars(t *testing.T) {
	tests := []struct {
		name     string
		services map[string]string // besides those that run
		want     []blueprint.Service
		wrong    string
	}{
		{"all run", nil, nil, ""},
		{"two do not", map[string]string{"pipelock": "lost", "egress": "exited"}, []blueprint.Service{blueprint.Egress, blueprint.Pipelock}, ""},
		{"the network is gone", map[string]string{"infra": "exited", "egress": "exited"}, nil, "podbottle stop b-1 && podbottle resume b-1"},
		{"the agent is gone", map[string]string{"agent": "lost"}, nil, "agent of b-1 is lost"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := pod.Summary{Slug: "b-1", Services: map[string]string{"agent": "running", "egress": "running", "infra": "running", "pipelock": "running"}}
			for name, state := range test.services {
				b.Services[name] = state
			}
			got, err := deadSidecars(b)
			if !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
			if (err == nil) != (test.wrong == "") || err != nil && !strings.Contains(err.Error(), test.wrong) {
				t.Errorf("error %v, want %q", err, test.wrong)
			}
		})
	}
}
