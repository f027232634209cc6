package bottle

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/podbottle/podbottle/internal/blueprint"
	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/resolve"
	"github.com/podbottle/podbottle/internal/secret"
)

// caLifetime is how long a bottle's certificates are good for: longer than a
// session, and useless soon after.
const caLifetime = 14 * 24 * time.Hour

// rootBundles are where distributions keep the CA certificates that the host
// trusts: Debian and Alpine, Fedora and RHEL, SUSE.
var rootBundles = []string{
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	"/etc/ssl/cert.pem",
}

// extraCAVariable names a file of further CA certificates for upstreams.
const extraCAVariable = "BOT_BOTTLE_EXTRA_CA_CERTS"

// blueprint describes the bottle.
func (s *launch) blueprint(images blueprint.Images, secrets blueprint.Secrets) (*blueprint.Bottle, error) {
	roots, err := readRoots()
	if err != nil {
		return nil, err
	}
	extra, err := s.extraCA()
	if err != nil {
		return nil, err
	}
	argv, err := s.argv()
	if err != nil {
		return nil, err
	}
	tree, err := s.tree()
	if err != nil {
		return nil, err
	}
	home, err := homeFiles(s.plan)
	if err != nil {
		return nil, err
	}
	options := blueprint.Options{
		Images:         images,
		SidecarProgram: s.sidecar.Program,
		Firewall:       s.firewall.Engine,
		FirewallBinary: s.firewall.Binary,
		Runsc:          s.runsc != "",
		Argv:           argv,
		Terminal:       s.terminal(),
		Term:           s.request.Term,
		Limits:         s.limits,
		Secrets:        secrets,
		Roots:          roots,
		ExtraCA:        extra,
		StateDir:       tree.Dir(),
		Home:           home,
		SSHAuthSock:    s.sshAuthSock(),
	}
	if s.request.Trial != nil {
		options.Hosts = s.request.Trial.Hosts
	}
	return blueprint.New(s.plan, options)
}

// secrets looks the tokens and keys up and mints the bottle's certificates.
func (s *launch) secrets() (blueprint.Secrets, error) {
	result, err := s.hostSecrets()
	if err != nil {
		return result, err
	}
	result.EgressCA, result.FirewallCA, err = authorities(s.plan.Slug, caLifetime)
	return result, err
}

// hostSecrets looks the tokens and keys up.
func (s *launch) hostSecrets() (blueprint.Secrets, error) {
	var result blueprint.Secrets
	tokens, err := resolve.Tokens(s.plan, s.Lookup)
	if err != nil {
		return result, err
	}
	result.Tokens = tokens
	result.Identities = map[string]secret.Value{}
	for _, u := range s.plan.GitGate.Upstreams {
		if u.IdentityFile == "" {
			continue
		}
		key, err := os.ReadFile(u.IdentityFile)
		if err != nil {
			return result, fmt.Errorf("identity file of the git remote %s: %w", u.Name, err)
		}
		result.Identities[u.Name] = secret.New(string(key))
	}
	return result, nil
}

// authorities mints the two certificate authorities of a bottle.
func authorities(slug string, lifetime time.Duration) (egress, firewall blueprint.KeyPair, err error) {
	if egress, err = mint("podbottle egress "+slug, lifetime); err != nil {
		return egress, firewall, err
	}
	firewall, err = mint("podbottle firewall "+slug, lifetime)
	return egress, firewall, err
}

func mint(name string, lifetime time.Duration) (blueprint.KeyPair, error) {
	cert, key, err := egress.MintCA(name, time.Now(), lifetime)
	if err != nil {
		return blueprint.KeyPair{}, fmt.Errorf("certificate authority %s: %w", name, err)
	}
	return blueprint.KeyPair{Cert: cert, Key: secret.New(string(key))}, nil
}

// readRoots returns the certificates that this host trusts.
func readRoots() ([]byte, error) {
	for _, path := range rootBundles {
		text, err := os.ReadFile(path) // #nosec G304 -- a fixed list
		if err == nil {
			return text, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return nil, errors.New("this host has no CA certificates; install the package ca-certificates")
}

func (s *launch) extraCA() ([]byte, error) {
	path, ok := s.Lookup(extraCAVariable)
	if !ok || path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path) // #nosec G304 -- the user named it
	if err != nil {
		return nil, fmt.Errorf("%s: %w", extraCAVariable, err)
	}
	return text, nil
}

// sshAuthSock is the user's ssh agent, where a remote asks for it.
func (s *launch) sshAuthSock() string {
	for _, u := range s.plan.GitGate.Upstreams {
		if u.SSHAgent {
			path, _ := s.Lookup("SSH_AUTH_SOCK")
			return path
		}
	}
	return ""
}
