package gitgate

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/podbottle/podbottle/internal/visible"
)

// Names in the sidecar's directories. A key file is IdentitiesDir/<repository> in
// the secrets directory.
const (
	ConfigFile     = "git-gate.yaml"
	KnownHostsFile = "known_hosts"
	IdentitiesDir  = "identities"
	// AgentSocket is where the sidecar finds the operator's ssh agent, when a
	// remote uses it. OpenSSH's agent answers only the uid that started it, so the
	// container then runs as the uid that maps to the operator.
	AgentSocket = "/run/podbottle/ssh-agent.sock"
)

// Config is git-gate.yaml: the declared remotes as the sidecar sees them. It holds
// no key and no path of the host.
type Config struct {
	Repositories []Repository `yaml:"repositories"`
	Limits       Limits       `yaml:"limits"`
}

// Repository is one declared remote.
type Repository struct {
	Name string `yaml:"name"` // the mirror is served as /<name>.git
	User string `yaml:"user"`
	Host string `yaml:"host"`
	Port int    `yaml:"port"`
	Path string `yaml:"path"` // with its leading slash
	// HostKeyAlias is the name of the host's pinned keys in known_hosts; empty means
	// that none is pinned and every contact is refused.
	HostKeyAlias string `yaml:"host_key_alias,omitempty"`
	// SSHAgent signs with AgentSocket instead of a key file.
	SSHAgent bool `yaml:"ssh_agent,omitempty"`
	// Refs are the patterns that may be pushed; empty means DefaultRefs.
	Refs        []string `yaml:"refs,omitempty"`
	AllowForce  bool     `yaml:"allow_force,omitempty"`
	AllowDelete bool     `yaml:"allow_delete,omitempty"`
	LFS         bool     `yaml:"lfs,omitempty"`
}

// Limits bound one push.
type Limits struct {
	// PackBytes is the size of the pack that the agent sends (git's receive.maxInputSize).
	PackBytes int64 `yaml:"pack_bytes"`
	// Objects is how many objects of it the remote does not have yet.
	Objects int `yaml:"objects"`
	// Refs is how many refs it changes.
	Refs int `yaml:"refs"`
}

// DefaultLimits are the limits of every bottle.
func DefaultLimits() Limits { return Limits{PackBytes: 2 << 30, Objects: 500_000, Refs: 500} }

// DefaultRefs are the patterns of a remote that names none: branches, tags, notes
// and Gerrit's magic refs.
func DefaultRefs() []string {
	return []string{"refs/heads/*", "refs/tags/*", "refs/notes/*", "refs/for/*"}
}

// URL is the remote's address for git, ssh://user@host:port/path with the path
// percent-encoded.
func (r Repository) URL() string {
	return "ssh://" + r.User + "@" + hostInURL(r.Host) + ":" + fmt.Sprint(r.Port) + escapePath(r.Path)
}

// Address is the remote's host:port, for people.
func (r Repository) Address() string { return fmt.Sprintf("%s:%d", hostInURL(r.Host), r.Port) }

// Allows reports whether a ref may be pushed. A pattern holds at most one *, which
// stands for any text, slashes included, as in a refspec (git-fetch(1)).
func (r Repository) Allows(ref string) bool {
	patterns := r.Refs
	if len(patterns) == 0 {
		patterns = DefaultRefs()
	}
	return slices.ContainsFunc(patterns, func(pattern string) bool { return matchRef(pattern, ref) })
}

func matchRef(pattern, ref string) bool {
	prefix, suffix, glob := strings.Cut(pattern, "*")
	if !glob {
		return ref == pattern
	}
	return len(ref) > len(prefix)+len(suffix) && strings.HasPrefix(ref, prefix) && strings.HasSuffix(ref, suffix)
}

// Find returns the repository of that name.
func (c Config) Find(name string) (Repository, bool) {
	i := slices.IndexFunc(c.Repositories, func(r Repository) bool { return r.Name == name })
	if i < 0 {
		return Repository{}, false
	}
	return c.Repositories[i], true
}

// Marshal renders the file.
func (c Config) Marshal() ([]byte, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	return yaml.Marshal(c)
}

// ParseConfig reads the file. An unknown key or a value that could become an
// option, another host or a second line further on is an error.
func ParseConfig(text []byte) (Config, error) {
	var c Config
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&c); err != nil {
		return Config{}, fmt.Errorf("%s: %w", ConfigFile, err)
	}
	if err := c.validate(); err != nil {
		return Config{}, fmt.Errorf("%s: %w", ConfigFile, err)
	}
	return c, nil
}

func (c Config) validate() error {
	if c.Limits.PackBytes <= 0 || c.Limits.Objects <= 0 || c.Limits.Refs <= 0 {
		return errors.New("limits must be positive")
	}
	seen := map[string]bool{}
	for _, r := range c.Repositories {
		if err := r.validate(); err != nil {
			return fmt.Errorf("repository %q: %w", r.Name, err)
		}
		if seen[r.Name] {
			return fmt.Errorf("repository %q is there twice", r.Name)
		}
		seen[r.Name] = true
	}
	return nil
}

func (r Repository) validate() error {
	switch {
	case !plainWord(r.Name, "._-") || r.Name[0] == '.' || len(r.Name) > 100 || strings.HasSuffix(r.Name, ".git"):
		return errors.New("the name must be letters, digits, dots, dashes and underscores, without .git")
	case !plainWord(r.User, "._-+"):
		return errors.New("the user is empty or holds a character that cannot be passed on safely")
	case !plainWord(r.Host, "._-:"):
		return errors.New("the host is empty or holds a character that cannot be passed on safely")
	case r.Port < 1 || r.Port > 65535:
		return fmt.Errorf("the port %d is not from 1 to 65535", r.Port)
	case !strings.HasPrefix(r.Path, "/") || strings.HasPrefix(r.Path, "/-") || strings.Trim(r.Path, "/") == "" || !visible.Clean(r.Path):
		return errors.New("the path is empty or holds a character that cannot be passed on safely")
	case slices.Contains(strings.Split(r.Path, "/"), ".."):
		return errors.New("the path holds a .. segment")
	case r.HostKeyAlias != "" && !plainWord(r.HostKeyAlias, "-"):
		return errors.New("the host key alias holds a character that it must not")
	case slices.ContainsFunc(r.Refs, badPattern):
		return errors.New("refs must begin with refs/ and hold at most one *")
	}
	return nil
}

func badPattern(s string) bool {
	return !strings.HasPrefix(s, "refs/") || strings.Count(s, "*") > 1 || !visible.Clean(s)
}

// plainWord allows ASCII letters, digits and the characters of others, and no
// dash at the beginning, where it would make an option.
func plainWord(s, others string) bool {
	return s != "" && s[0] != '-' && strings.IndexFunc(s, func(r rune) bool {
		return !strings.ContainsRune(others, r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) < 0
}
