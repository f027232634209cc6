//go:build !breakage

package verify

import (
	"context"

	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/verify/probe"
)

// breakRoutes breaks the routes of the trial (package breakage).
func breakRoutes(_ probe.Server, routes ...egress.Route) []egress.Route { return routes }

// breakTrial prepares what is broken about the trial before it starts.
func breakTrial(*run) error { return nil }

// breakState breaks the bottle's directories.
func breakState(*run) {}

// breakCopies breaks what was copied out.
func breakCopies(string) {}

// breakWorkspace breaks a working directory as a copier that follows links would.
func breakWorkspace(_, _ string) {}

// breakEnd breaks the end of a bottle.
func breakEnd(context.Context, *run) {}
