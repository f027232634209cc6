package resolve

import (
	"fmt"

	"github.com/podbottle/podbottle/internal/gitgate"
	"github.com/podbottle/podbottle/internal/manifest"
)

// liftRemotes turns the manifest's remotes into the gate's.
func liftRemotes(host Host, remotes []manifest.Remote) []gitgate.Upstream {
	upstreams := make([]gitgate.Upstream, 0, len(remotes))
	for _, r := range remotes {
		u := gitgate.Upstream{
			Name: r.Name, URL: r.URL.Raw, User: r.URL.User, Host: r.URL.Host, Port: r.URL.Port, Path: r.URL.Path, Alias: r.Alias,
			SSHAgent: r.SSHAgent, KnownHostKey: r.KnownHostKey,
			Refs: r.Refs, AllowForce: r.AllowForce, AllowDelete: r.AllowDelete, LFS: r.LFS,
		}
		if r.IdentityFile != "" {
			u.IdentityFile = host.expand(r.IdentityFile, host.Home)
		}
		upstreams = append(upstreams, u)
	}
	return upstreams
}

// checkKeys wants every key to be usable without a person.
func checkKeys(host Host, bottle string, upstreams []gitgate.Upstream) error {
	if err := gitgate.Preflight(gitgate.Plan{Upstreams: upstreams}, host.env("SSH_AUTH_SOCK", "")); err != nil {
		return fmt.Errorf("bottle %s: %w", bottle, err)
	}
	return nil
}

// gitUser is the commit identity with where it comes from.
func gitUser(agent *manifest.Agent, bottle *manifest.Bottle) gitgate.User {
	user := gitgate.User{Name: bottle.GitUser.Name, Email: bottle.GitUser.Email}
	switch {
	case agent.GitUser != manifest.GitUser{}:
		user.Origin = "agent"
	case user.Name != "" || user.Email != "":
		user.Origin = "bottle"
	}
	return user
}
