package manifest

// BottleFile is the front matter of ~/.bot-bottle/bottles/<name>.md. The text
// below the front matter is documentation and is not read.
type BottleFile struct {
	// Extends names the bottles that this one is based on. Of several, later ones win.
	Extends Names `yaml:"extends,omitempty"`
	// Label is a text of the user's own that list shows.
	Label string `yaml:"label,omitempty"`
	// Env are variables of the agent: a literal text, ${NAME} for the value of a variable of the host, or ?question to be asked at the start.
	Env Ordered[Text] `yaml:"env,omitempty"`
	// AgentProvider says which agent runs, and on which image.
	AgentProvider *AgentProviderBlock `yaml:"agent_provider,omitempty"`
	// Git declares the commit identity and the git remotes, keyed by host. It excludes git-gate.
	Git *GitBlock `yaml:"git,omitempty"`
	// GitGate declares the commit identity and the git remotes, keyed by the repository's name. It excludes git.
	GitGate *GitGateBlock `yaml:"git-gate,omitempty"`
	// Egress declares what the agent may reach.
	Egress *EgressBlock `yaml:"egress,omitempty"`
	// Supervise lets the agent ask a human for more. Default: false.
	Supervise bool `yaml:"supervise,omitempty"`
}

func (BottleFile) removedKeys() map[string]string {
	return map[string]string{
		"runtime":      "gVisor is used wherever the host has it; require it with --require-runsc",
		"tokens":       "give the route in egress.routes an auth with scheme and token_ref",
		"ssh":          "declare the remote under git.remotes; its key goes there as IdentityFile",
		"cred_proxy":   "declare the host in egress.routes, with auth where it needs a credential",
		"egress_proxy": "it is called egress",
		"git_user":     "move it under git.user",
	}
}

// AgentProviderBlock is agent_provider.
type AgentProviderBlock struct {
	// Template is claude (the default), codex or command.
	Template string `yaml:"template,omitempty" jsonschema:"enum=claude,enum=codex,enum=command"`
	// Dockerfile builds the agent's image; a leading ~ is the home directory, a relative path starts at the current directory.
	Dockerfile string `yaml:"dockerfile,omitempty"`
	// ForwardHostCredentials uses the host's Codex login, through egress. Only for codex. Default: false.
	ForwardHostCredentials bool `yaml:"forward_host_credentials,omitempty"`
	// AuthToken names the variable of the host that holds Claude's token; its route is then made by itself. Only for claude.
	AuthToken string `yaml:"auth_token,omitempty"`
	// Image is the image of the agent. Only for command.
	Image string `yaml:"image,omitempty"`
	// Command is the program and its arguments. Only for command.
	Command []string `yaml:"command,omitempty"`
}

func (AgentProviderBlock) removedKeys() map[string]string {
	return map[string]string{"settings": "put settings into the image, or use the template command with arguments"}
}

// GitBlock is git, in the form in which remotes are keyed by host.
type GitBlock struct {
	// User is the commit identity.
	User *GitUserBlock `yaml:"user,omitempty"`
	// Remotes are keyed by the host as the agent writes it.
	Remotes Ordered[RemoteBlock] `yaml:"remotes,omitempty"`
}

// GitUserBlock is the commit identity; one of its keys is needed.
type GitUserBlock struct {
	// Name is git's user.name.
	Name string `yaml:"name,omitempty"`
	// Email is git's user.email.
	Email string `yaml:"email,omitempty"`
}

// RemoteBlock is one entry of git.remotes.
type RemoteBlock struct {
	// Name is the repository's name on the gate.
	Name string `yaml:"Name"`
	// Upstream is ssh://user@host[:port]/path.
	Upstream string `yaml:"Upstream"`
	// IdentityFile is the private key on the host.
	IdentityFile string `yaml:"IdentityFile,omitempty"`
	// KnownHostKey is the host's public key, "type base64". Without it every contact is refused.
	KnownHostKey string `yaml:"KnownHostKey,omitempty"`
}

// GitGateBlock is git-gate, the form in which repositories are keyed by name.
type GitGateBlock struct {
	// User is the commit identity.
	User *GitUserBlock `yaml:"user,omitempty"`
	// Repos are keyed by the repository's name on the gate.
	Repos Ordered[RepoBlock] `yaml:"repos,omitempty"`
}

// RepoBlock is one entry of git-gate.repos.
type RepoBlock struct {
	// URL is ssh://user@host[:port]/path.
	URL string `yaml:"url"`
	// Identity is the private key on the host. It excludes key and ssh_agent.
	Identity string `yaml:"identity,omitempty"`
	// Key is the longer way to write identity.
	Key *KeyBlock `yaml:"key,omitempty"`
	// SSHAgent uses the keys of the host's ssh-agent instead of a file. Default: false.
	SSHAgent bool `yaml:"ssh_agent,omitempty"`
	// HostKey is the host's public key, "type base64". Without it every contact is refused.
	HostKey string `yaml:"host_key,omitempty"`
	// Refs are the patterns of the refs that may be pushed, such as refs/heads/agent/*.
	Refs []string `yaml:"refs,omitempty"`
	// AllowForce lets updates through that are no fast-forward. Default: false.
	AllowForce bool `yaml:"allow_force,omitempty"`
	// AllowDelete lets refs be deleted. Default: false.
	AllowDelete bool `yaml:"allow_delete,omitempty"`
	// LFS says that the remote uses Git LFS. Default: false.
	LFS bool `yaml:"lfs,omitempty"`
}

// KeyBlock is git-gate.repos.<name>.key.
type KeyBlock struct {
	// Provider is static: the key is a file of the host.
	Provider string `yaml:"provider" jsonschema:"enum=static"`
	// Path is the private key on the host.
	Path string `yaml:"path"`
}

func (KeyBlock) removedKeys() map[string]string {
	return map[string]string{"provisioner_token": "deploy keys are not made by podbottle; use provider: static with a path"}
}

// EgressBlock is egress.
type EgressBlock struct {
	// Routes are the hosts that the agent can reach.
	Routes []RouteBlock `yaml:"routes,omitempty"`
}

// RouteBlock is one entry of egress.routes.
type RouteBlock struct {
	// Host is a name, "*." and a name for everything below it, and optionally ":" and a port.
	Host string `yaml:"host"`
	// PathAllowlist are absolute path prefixes; without them every path is allowed.
	PathAllowlist []string `yaml:"path_allowlist,omitempty"`
	// Matches are further conditions of which a request must fit one.
	Matches []MatchBlock `yaml:"matches,omitempty"`
	// Auth is a credential that egress adds.
	Auth *AuthBlock `yaml:"auth,omitempty"`
	// Role marks the route for the provider: claude_code_oauth or codex_auth.
	Role Names `yaml:"role,omitempty"`
	// Pipelock are settings of the firewall for this host.
	Pipelock *PipelockBlock `yaml:"pipelock,omitempty"`
	// Git lets git over HTTPS through.
	Git *RouteGitBlock `yaml:"git,omitempty"`
	// Reflection is allow to leave an injected credential in what the host answers; the default replaces it.
	Reflection string `yaml:"reflection,omitempty" jsonschema:"enum=allow,enum=redact"`
}

func (RouteBlock) removedKeys() map[string]string {
	return map[string]string{"dlp": "pipelock scans; exempt a host with pipelock.tls_passthrough"}
}

// AuthBlock is the credential of a route.
type AuthBlock struct {
	// Scheme is Bearer, token, basic or header.
	Scheme string `yaml:"scheme" jsonschema:"enum=Bearer,enum=token,enum=basic,enum=header"`
	// TokenRef names the variable of the host that holds the credential.
	TokenRef string `yaml:"token_ref"`
	// Header is the header's name. Only with the scheme header.
	Header string `yaml:"header,omitempty"`
}

// PipelockBlock is the firewall's part of a route.
type PipelockBlock struct {
	// TLSPassthrough shows the firewall the host's name only, not what is said. Default: false.
	TLSPassthrough bool `yaml:"tls_passthrough,omitempty"`
	// SSRFIPAllowlist are ranges (CIDR) outside the public internet that the host may resolve to.
	SSRFIPAllowlist []string `yaml:"ssrf_ip_allowlist,omitempty"`
}

// RouteGitBlock is git over HTTPS on a route.
type RouteGitBlock struct {
	// Fetch lets clone and fetch through. Pushes always go through git-gate. Default: false.
	Fetch bool `yaml:"fetch,omitempty"`
}

// MatchBlock is one alternative; all of its parts must fit.
type MatchBlock struct {
	// Paths are alternatives for the path.
	Paths []PathMatchBlock `yaml:"paths,omitempty"`
	// Methods are alternatives for the method.
	Methods []string `yaml:"methods,omitempty"`
	// Headers must all be there.
	Headers []HeaderMatchBlock `yaml:"headers,omitempty"`
}

// PathMatchBlock compares the path.
type PathMatchBlock struct {
	// Type is prefix (the default), exact or regex.
	Type string `yaml:"type,omitempty" jsonschema:"enum=prefix,enum=exact,enum=regex"`
	// Value is an absolute path, or a regular expression (RE2) for the whole of it.
	Value string `yaml:"value"`
}

// HeaderMatchBlock compares one header.
type HeaderMatchBlock struct {
	// Name of the header.
	Name string `yaml:"name"`
	// Value that it must have.
	Value string `yaml:"value"`
}
