package manifest

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/podbottle/podbottle/internal/visible"
)

// GitUser is a commit identity; either part may be empty.
type GitUser struct {
	Name  string
	Email string
}

// overlay gives u with the non-empty parts of top in their place.
func (u GitUser) overlay(top GitUser) GitUser {
	if top.Name != "" {
		u.Name = top.Name
	}
	if top.Email != "" {
		u.Email = top.Email
	}
	return u
}

// Remote is one declared git remote, from either way to write it.
type Remote struct {
	Name         string // on the gate, unique in the bottle
	URL          GitURL
	Alias        string // another host under which the agent knows it; empty when it is the URL's
	IdentityFile string // as written; ~ is not expanded
	SSHAgent     bool
	KnownHostKey string // "type base64", or empty
	Refs         []string
	AllowForce   bool
	AllowDelete  bool
	LFS          bool
	Position     string // file:line

	declared []string // the keys that the file has, in the names of RepoBlock
}

// GitURL is an ssh:// URL in its parts.
type GitURL struct {
	Raw  string
	User string
	Host string
	Port int    // 22 when the URL has none
	Path string // decoded, with its leading slash
}

// ParseGitURL reads ssh://user@host[:port]/path. It refuses what could become
// an option or a second line further on.
func ParseGitURL(s string) (GitURL, error) {
	if !strings.HasPrefix(s, "ssh://") {
		if user, rest, ok := strings.Cut(s, ":"); ok && strings.Contains(user, "@") && !strings.Contains(s, "://") {
			return GitURL{}, fmt.Errorf("it must be an ssh:// URL; write ssh://%s/%s", user, strings.TrimPrefix(rest, "/"))
		}
		return GitURL{}, errors.New("it must be an ssh:// URL, such as ssh://git@git.example.org/team/repo.git")
	}
	u, err := url.Parse(s)
	if err != nil {
		return GitURL{}, errors.New("it is not a valid URL")
	}
	if _, password := u.User.Password(); password || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery {
		return GitURL{}, errors.New("it must have no password, query or fragment")
	}
	g := GitURL{Raw: s, User: u.User.Username(), Host: strings.ToLower(u.Hostname()), Port: 22, Path: u.Path}
	if p := u.Port(); p != "" {
		if g.Port, err = strconv.Atoi(p); err != nil || g.Port < 1 || g.Port > 65535 {
			return GitURL{}, errors.New("its port is not a number from 1 to 65535")
		}
	}
	switch {
	case g.User == "":
		return GitURL{}, errors.New("it names no user; most hosts want ssh://git@…")
	case g.Host == "":
		return GitURL{}, errors.New("it names no host")
	case strings.Trim(g.Path, "/") == "":
		return GitURL{}, errors.New("it names no repository")
	case !plainWord(g.User, "._-+") || !plainWord(g.Host, "._-:") || !visible.Clean(g.Path) || strings.HasPrefix(g.Path, "/-"):
		return GitURL{}, errors.New("its user, host or path holds a character that cannot be passed on safely")
	case slices.Contains(strings.Split(g.Path, "/"), ".."):
		return GitURL{}, errors.New("its path goes up with ..; write the path it leads to")
	}
	return g, nil
}

// plainWord allows ASCII letters, digits and the characters of others, and no
// dash at the beginning, where it would make an option.
func plainWord(s, others string) bool {
	return s != "" && s[0] != '-' && strings.IndexFunc(s, func(r rune) bool {
		return !strings.ContainsRune(others, r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) < 0
}

// parseHostKey checks a public key, "type base64[ comment]", and returns its first two parts.
func parseHostKey(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	bad := errors.New("is not a public key of the form \"ssh-ed25519 AAAA…\", as ssh-keyscan prints after the host")
	parts := strings.Fields(s)
	if len(parts) < 2 || strings.ContainsAny(s, "\r\n") {
		return "", bad
	}
	blob, err := base64.StdEncoding.DecodeString(parts[1])
	if err != nil || len(blob) < 4 {
		return "", bad
	}
	// RFC 4253, 6.6: the blob begins with the key type as a length-prefixed string.
	n := binary.BigEndian.Uint32(blob)
	if uint64(n) > uint64(len(blob)-4) || string(blob[4:4+n]) != parts[0] || len(blob) == int(4+n) {
		return "", bad
	}
	return parts[0] + " " + parts[1], nil
}

// gitUser checks a block that was written; block is nil when it was not, or is empty.
func (d *document) gitUser(n *yaml.Node, key string, block *GitUserBlock) (GitUser, error) {
	if child(n, "user") == nil {
		return GitUser{}, nil
	}
	at := child(n, "user")
	if block == nil || (block.Name == "" && block.Email == "") {
		return GitUser{}, d.errorf(at, "%s.user is empty; give name or email, or leave it out", key)
	}
	for _, s := range []string{block.Name, block.Email} {
		if strings.IndexFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f || r == '<' || r == '>' }) >= 0 {
			return GitUser{}, d.errorf(at, "%s.user holds a character that git refuses", key)
		}
	}
	return GitUser(*block), nil
}

// remotes reads git.remotes or git-gate.repos, whichever is there.
func (d *document) remotes(f *BottleFile) ([]Remote, error) {
	var remotes []Remote
	add := func(r Remote, n *yaml.Node, what string) error {
		if !validRepository(r.Name) {
			return d.errorf(n, "%s: %q cannot be the name of a repository: letters, digits, dots, dashes and underscores are allowed, .git is left out", what, r.Name)
		}
		if at := slices.IndexFunc(remotes, func(o Remote) bool { return o.Name == r.Name }); at >= 0 {
			return d.errorf(n, "%s: the name %q is already at %s", what, r.Name, remotes[at].Position)
		}
		if r.IdentityFile == "" && !r.SSHAgent {
			return d.errorf(n, "%s: no key is named; give the path of a private key of the host", what)
		}
		if slices.ContainsFunc(r.Refs, badRefPattern) {
			return d.errorf(n, "%s: refs must begin with refs/ and hold at most one *", what)
		}
		r.Position = fmt.Sprintf("%s:%d", d.file, n.Line)
		remotes = append(remotes, r)
		return nil
	}
	if f.Git != nil {
		for _, e := range f.Git.Remotes {
			n := d.at("git", "remotes", e.Key)
			r, err := d.remote(n, e)
			if err == nil {
				err = add(r, n, "git.remotes."+e.Key)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	if f.GitGate != nil {
		for _, e := range f.GitGate.Repos {
			n := d.at("git-gate", "repos", e.Key)
			r, err := d.repo(n, e)
			if err == nil {
				err = add(r, n, "git-gate.repos."+e.Key)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return remotes, nil
}

func badRefPattern(s string) bool {
	return !strings.HasPrefix(s, "refs/") || strings.Count(s, "*") > 1 || strings.ContainsAny(s, " ~^:?[\\") || strings.Contains(s, "..") || !visible.Clean(s)
}

// remote reads the form that is keyed by host.
func (d *document) remote(n *yaml.Node, e Entry[RemoteBlock]) (Remote, error) {
	what := "git.remotes." + e.Key
	u, err := ParseGitURL(e.Value.Upstream)
	if err != nil {
		return Remote{}, d.errorf(orSelf(n, "Upstream"), "%s.Upstream: %v", what, err)
	}
	hostKey, err := parseHostKey(e.Value.KnownHostKey)
	if err != nil {
		return Remote{}, d.errorf(orSelf(n, "KnownHostKey"), "%s.KnownHostKey %v", what, err)
	}
	if !plainWord(e.Key, "._-:") {
		return Remote{}, d.errorf(n, "git.remotes: %q is not a host", e.Key)
	}
	r := Remote{Name: e.Value.Name, URL: u, IdentityFile: e.Value.IdentityFile, KnownHostKey: hostKey}
	if alias := strings.ToLower(e.Key); alias != u.Host {
		r.Alias = alias
	}
	r.declared = []string{"url"}
	if r.IdentityFile != "" {
		r.declared = append(r.declared, "identity")
	}
	if r.KnownHostKey != "" {
		r.declared = append(r.declared, "host_key")
	}
	return r, nil
}

// repo reads the form that is keyed by name.
func (d *document) repo(n *yaml.Node, e Entry[RepoBlock]) (Remote, error) {
	what, b := "git-gate.repos."+e.Key, e.Value
	u, err := ParseGitURL(b.URL)
	if err != nil {
		return Remote{}, d.errorf(orSelf(n, "url"), "%s.url: %v", what, err)
	}
	hostKey, err := parseHostKey(b.HostKey)
	if err != nil {
		return Remote{}, d.errorf(orSelf(n, "host_key"), "%s.host_key %v", what, err)
	}
	if b.Key != nil {
		switch {
		case b.Key.Provider != "static":
			return Remote{}, d.errorf(orSelf(n, "key"), "%s.key.provider is %q; only static is supported, with a path", what, b.Key.Provider)
		case b.Identity != "":
			return Remote{}, d.errorf(orSelf(n, "key"), "%s has identity and key; they mean the same, keep one", what)
		}
		b.Identity = b.Key.Path
	}
	if b.SSHAgent && b.Identity != "" {
		return Remote{}, d.errorf(orSelf(n, "ssh_agent"), "%s has a key file and ssh_agent; keep one", what)
	}
	r := Remote{
		Name: e.Key, URL: u, IdentityFile: b.Identity, SSHAgent: b.SSHAgent, KnownHostKey: hostKey,
		Refs: b.Refs, AllowForce: b.AllowForce, AllowDelete: b.AllowDelete, LFS: b.LFS,
	}
	for i := 0; n.Kind == yaml.MappingNode && i < len(n.Content); i += 2 {
		key := n.Content[i].Value
		if key == "key" {
			key = "identity"
		}
		r.declared = append(r.declared, key)
	}
	return r, nil
}

// overlay gives r with the fields that top's file has in their place.
func (r Remote) overlay(top Remote) Remote {
	has := func(key string) bool { return slices.Contains(top.declared, key) }
	if has("url") {
		r.URL, r.Alias = top.URL, top.Alias
	}
	if has("identity") || has("ssh_agent") {
		r.IdentityFile, r.SSHAgent = top.IdentityFile, top.SSHAgent
	}
	if has("host_key") {
		r.KnownHostKey = top.KnownHostKey
	}
	if has("refs") {
		r.Refs = top.Refs
	}
	if has("allow_force") {
		r.AllowForce = top.AllowForce
	}
	if has("allow_delete") {
		r.AllowDelete = top.AllowDelete
	}
	if has("lfs") {
		r.LFS = top.LFS
	}
	r.Position = top.Position
	return r
}

// orSelf is the value of a key of n, or n itself where it has no such key.
func orSelf(n *yaml.Node, key string) *yaml.Node {
	if c := child(n, key); c != nil {
		return c
	}
	return n
}
