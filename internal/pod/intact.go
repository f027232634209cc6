//go:build !breakage

package pod

import (
	"github.com/containers/podman/v5/pkg/specgen"

	"github.com/podbottle/podbottle/internal/blueprint"
)

// breakage is what the tests of podbottle verify do to a bottle, to see that it is
// found out. A released program has none: it is built with the tag breakage only.
type breakage struct{}

func brokenBy() breakage { return breakage{} }

func (breakage) network(blueprint.Network) bool { return false }

func (breakage) container(*specgen.SpecGenerator, *blueprint.Bottle, blueprint.Container) {}

func (breakage) unseen() bool { return false }
