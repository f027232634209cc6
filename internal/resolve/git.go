package resolve

import (
	"errors"
	"fmt"
	"os"

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

// checkIdentities wants every key file to be there. It does not read them.
func checkIdentities(upstreams []gitgate.Upstream, remotes []manifest.Remote) error {
	for i, u := range upstreams {
		if u.IdentityFile == "" {
			continue
		}
		info, err := os.Stat(u.IdentityFile)
		switch {
		case errors.Is(err, os.ErrNotExist):
			return fmt.Errorf("%s: the key %s of repository %s does not exist on this host", remotes[i].Position, u.IdentityFile, u.Name)
		case err != nil:
			return fmt.Errorf("%s: the key of repository %s: %w", remotes[i].Position, u.Name, err)
		case !info.Mode().IsRegular():
			return fmt.Errorf("%s: the key %s of repository %s is not a file", remotes[i].Position, u.IdentityFile, u.Name)
		}
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
