// Package gitgate is the mirror through which an agent does all git with the
// declared remotes. The sidecar's side is in the package gitgate/gate.
package gitgate

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
	// Refs are the patterns (as in git's refspec globs) that may be pushed; empty allows
	// refs/heads/*, refs/tags/*, refs/notes/* and refs/for/*.
	Refs        []string `json:"refs,omitempty"`
	AllowForce  bool     `json:"allow_force,omitempty"`
	AllowDelete bool     `json:"allow_delete,omitempty"`
	LFS         bool     `json:"lfs,omitempty"`
}
