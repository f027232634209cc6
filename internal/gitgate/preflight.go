package gitgate

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Preflight checks, before anything is built, what would otherwise fail at the
// first push: every key file is there, is closed to others and has no passphrase,
// and every pinned host key is one. sshAuthSock is the path of the operator's ssh
// agent, empty for none. The error names every remote that is not in order.
func Preflight(p Plan, sshAuthSock string) error {
	var errs []error
	for _, u := range p.Upstreams {
		if err := u.checkKey(sshAuthSock); err != nil {
			errs = append(errs, fmt.Errorf("git remote %s: %w", u.Name, err))
		}
		if err := checkHostKey(u.KnownHostKey); err != nil {
			errs = append(errs, fmt.Errorf("git remote %s: %w", u.Name, err))
		}
	}
	return errors.Join(errs...)
}

// Unpinned names the remotes that have no host key and so cannot be used at all.
func (p Plan) Unpinned() []string {
	var names []string
	for _, u := range p.Upstreams {
		if u.KnownHostKey == "" {
			names = append(names, u.Name)
		}
	}
	return names
}

func (u Upstream) checkKey(sshAuthSock string) error {
	if u.SSHAgent {
		return checkAgent(sshAuthSock)
	}
	if u.IdentityFile == "" {
		return errors.New("it has neither a key file nor ssh_agent")
	}
	info, err := os.Stat(u.IdentityFile)
	switch {
	case err != nil:
		return fmt.Errorf("its key: %w", err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("its key %s is not a file", u.IdentityFile)
	}
	key, err := os.ReadFile(u.IdentityFile)
	if err != nil {
		return fmt.Errorf("its key: %w", err)
	}
	defer clear(key)
	if err := checkPrivateKey(key); err != nil {
		return fmt.Errorf("its key %s %w", u.IdentityFile, err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("its key %s can be read by others (mode %04o); close it with: chmod 600 %s", u.IdentityFile, info.Mode().Perm(), u.IdentityFile)
	}
	return nil
}

func checkAgent(sock string) error {
	if sock == "" {
		return errors.New("it uses the ssh agent, but SSH_AUTH_SOCK is not set; start one with: eval $(ssh-agent)")
	}
	info, err := os.Stat(sock)
	if err != nil {
		return fmt.Errorf("the ssh agent: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("the ssh agent's SSH_AUTH_SOCK %s is not a socket", sock)
	}
	return nil
}

// checkPrivateKey says what stops ssh from using a key without a person. Its
// errors hold nothing of the key.
func checkPrivateKey(key []byte) error {
	const passphrase = "has a passphrase, which nobody can type in the sidecar; " +
		"use a deploy key without one, or ssh_agent: true"
	if block, _ := pem.Decode(key); block != nil && block.Type == "ENCRYPTED PRIVATE KEY" {
		return errors.New(passphrase)
	}
	_, err := ssh.ParseRawPrivateKey(key)
	var missing *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &missing):
		return errors.New(passphrase)
	case err != nil && bytes.HasPrefix(bytes.TrimSpace(key), []byte("ssh-")):
		return errors.New("is a public key; name the private one, without .pub")
	case err != nil:
		return errors.New("is no private key that can be used without a person (a key on a security token needs ssh_agent: true)")
	}
	return nil
}

func checkHostKey(s string) error {
	if s == "" {
		return nil
	}
	kind, encoded, _ := strings.Cut(s, " ")
	blob, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return errors.New("its known host key is not base64")
	}
	key, err := ssh.ParsePublicKey(blob)
	if err != nil || key.Type() != kind {
		return fmt.Errorf("its known host key is not a valid %.40q key; print the host's with: ssh-keyscan HOST", kind)
	}
	return nil
}
