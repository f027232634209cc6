// Package gitgate is the mirror through which an agent does all git with the
// declared remotes. This side is the host's: the plan, the checks before a start,
// what the sidecar and the agent are given to read, and what the operator reads
// back. The sidecar's side is in the package gitgate/gate.
package gitgate

import (
	"net/netip"
	"strconv"
)

// Port is where git daemon listens on the pod's internal address.
const Port = 9418

// Plan is what resolution decides about git.
type Plan struct {
	Slug string `json:"slug"`
	// Upstreams is empty when the bottle declares no remote; then there is no git-gate container.
	Upstreams []Upstream `json:"upstreams"`
	User      User       `json:"user"`
}

// User is the commit identity that is set in the agent.
type User struct {
	Name  string `json:"name,omitempty"`
	Email string `json:"email,omitempty"`
	// Origin is "agent" or "bottle", for the preflight.
	Origin string `json:"origin,omitempty"`
}

// Upstream is one declared remote.
type Upstream struct {
	Name string `json:"name"` // repository name on the gate, [A-Za-z0-9._-]+, unique in the bottle
	URL  string `json:"url"`  // as written: ssh://user@host[:port]/path
	User string `json:"user"`
	Host string `json:"host"`
	Port int    `json:"port"` // 22 when the URL has none
	Path string `json:"path"` // with its leading slash
	// Alias is another host under which the agent may write the URL; empty for none.
	Alias string `json:"alias,omitempty"`
	// IdentityFile is an absolute host path, or empty with SSHAgent.
	IdentityFile string `json:"identity_file,omitempty"`
	// SSHAgent uses the host's SSH_AUTH_SOCK instead of a copied key.
	SSHAgent bool `json:"ssh_agent,omitempty"`
	// KnownHostKey is "type base64"; empty means that every contact is refused.
	KnownHostKey string `json:"known_host_key,omitempty"`
	// Refs are the patterns (as in git's refspec globs) that may be pushed; empty
	// allows DefaultRefs.
	Refs        []string `json:"refs,omitempty"`
	AllowForce  bool     `json:"allow_force,omitempty"`
	AllowDelete bool     `json:"allow_delete,omitempty"`
	LFS         bool     `json:"lfs,omitempty"`
}

// Args is the sidecar's command line. Git daemon listens on the pod's internal
// address.
func (p Plan) Args(pod netip.Addr) []string {
	return []string{"git-gate", "--slug", p.Slug, "--listen", netip.AddrPortFrom(pod, Port).String()}
}

// ConfigFiles renders what the sidecar reads in its configuration directory:
// ConfigFile and KnownHostsFile.
func (p Plan) ConfigFiles() (map[string][]byte, error) {
	text, err := p.config().Marshal()
	if err != nil {
		return nil, err
	}
	return map[string][]byte{ConfigFile: text, KnownHostsFile: p.knownHosts()}, nil
}

func (p Plan) config() Config {
	c := Config{Limits: DefaultLimits()}
	for i, u := range p.Upstreams {
		r := Repository{
			Name: u.Name, User: u.User, Host: u.Host, Port: u.Port, Path: u.Path, SSHAgent: u.SSHAgent,
			Refs: u.Refs, AllowForce: u.AllowForce, AllowDelete: u.AllowDelete, LFS: u.LFS,
		}
		if u.KnownHostKey != "" {
			r.HostKeyAlias = hostKeyAlias(i)
		}
		c.Repositories = append(c.Repositories, r)
	}
	return c
}

// hostKeyAlias is the name under which the key of the i-th upstream's host stands
// in known_hosts. One a remote, so that remotes on one host can pin different
// keys; lower case, since OpenSSH folds the case of what it looks up.
func hostKeyAlias(i int) string { return "upstream-" + strconv.Itoa(i) }

// knownHosts is the known_hosts file (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).
func (p Plan) knownHosts() []byte {
	var text []byte
	for i, u := range p.Upstreams {
		if u.KnownHostKey != "" {
			text = append(text, hostKeyAlias(i)+" "+u.KnownHostKey+"\n"...)
		}
	}
	return text
}
