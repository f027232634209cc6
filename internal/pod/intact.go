//go:build !breakage

package pod

import (
	"github.com/containers/podman/v5/pkg/specgen"

	"github.com/podbottle/podbottle/internal/blueprint"
)

// unseen tells whether reading back is left out, which would find a breakage first.
func unseen() bool { return false }

// breakContainer breaks a container (package breakage).
func breakContainer(*specgen.SpecGenerator, *blueprint.Bottle, blueprint.Container) {}

// breakMembers adds to the containers of a bottle.
func breakMembers(all []blueprint.Container) []blueprint.Container { return all }
