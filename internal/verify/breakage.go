//go:build breakage

package verify

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/podbottle/podbottle/internal/breakage"
	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/verify/probe"
)

// breakRoutes breaks the routes of the trial: the allowed host's and the guarded one's.
func breakRoutes(s probe.Server, routes ...egress.Route) []egress.Route {
	allowed, guarded := &routes[0], &routes[1]
	if breakage.Has("paths") {
		allowed.PathAllowlist = nil
	}
	if breakage.Has("reflection") {
		allowed.AllowReflection = true
	}
	if breakage.Has("special") {
		guarded.SSRFIPAllowlist = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	}
	if breakage.Has("unlisted") {
		unlisted := *allowed
		unlisted.Host, unlisted.AuthScheme, unlisted.TokenRef = s.Unlisted, "", ""
		routes = append(routes, unlisted)
	}
	return routes
}

// breakTrial prepares what is broken about the trial before it starts.
func breakTrial(r *run) error {
	if err := os.Setenv(breakage.TrialVariable, r.dir); err != nil {
		return err
	}
	if breakage.Has("loopback") {
		return r.leadIn(r.servers.Loopback)
	}
	return nil
}

// leadIn makes a socket, for the agent to be given, that leads to a port of this
// machine's loopback.
func (r *run) leadIn(port uint16) error {
	dir := filepath.Join(r.dir, breakage.LoopbackDir)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	socket := filepath.Join(dir, fmt.Sprint(port))
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	r.servers.close = append(r.servers.close, l)
	go breakage.Forward(l, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	return os.Chmod(socket, 0o777)
}

// breakState breaks the bottle's directories.
func breakState(r *run) {
	dir := r.stateDirs()[0]
	if breakage.Has("state") {
		_ = os.WriteFile(filepath.Join(dir, "leaked"), []byte(r.token), 0o600)
	}
	if breakage.Has("modes") {
		_ = os.Chmod(dir, 0o755)
		_ = os.WriteFile(filepath.Join(dir, "open"), nil, 0o644)
	}
}

// breakCopies breaks what was copied out.
func breakCopies(dir string) {
	if breakage.Has("copies") {
		_ = os.Symlink("/etc/passwd", filepath.Join(dir, "leads-out"))
	}
}

// breakWorkspace breaks a working directory as a copier that follows links would.
func breakWorkspace(dir, outside string) {
	if breakage.Has("workspace") {
		_ = os.WriteFile(filepath.Join(dir, "followed"), []byte(outside), 0o600)
	}
}

// breakEnd breaks the end of a bottle.
func breakEnd(ctx context.Context, r *run) {
	if breakage.Has("detached") {
		_ = exec.CommandContext(ctx, "sh", "-c", "sleep 10; : bot-bottle-"+r.slug).Start()
	}
	if breakage.Has("leftovers") {
		_ = os.MkdirAll(r.stateDirs()[0], 0o700)
	}
}
