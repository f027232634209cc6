package gitgate

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// makeKey has ssh-keygen write a key pair and returns the private key's path.
func makeKey(t *testing.T, args ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	out, err := exec.Command("ssh-keygen", append([]string{"-q", "-C", "test", "-f", file}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ssh-keygen (Debian: openssh-client): %v\n%s", err, out)
	}
	return file
}

func hostKey(t *testing.T, private string) string {
	t.Helper()
	text, err := os.ReadFile(private + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text))
	return fields[0] + " " + fields[1]
}

func TestPreflight(t *testing.T) {
	good := makeKey(t, "-t", "ed25519", "-N", "")
	open := makeKey(t, "-t", "ed25519", "-N", "")
	if err := os.Chmod(open, 0o640); err != nil {
		t.Fatal(err)
	}
	garbage := filepath.Join(t.TempDir(), "garbage")
	if err := os.WriteFile(garbage, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(good+".pub", 0o600); err != nil {
		t.Fatal(err)
	}
	sock := filepath.Join(t.TempDir(), "agent.sock")
	listener, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	pinned := hostKey(t, good)
	tests := []struct {
		name     string
		upstream Upstream
		sock     string
		want     string // part of the error; empty for none
	}{
		{"ed25519", Upstream{IdentityFile: good, KnownHostKey: pinned}, "", ""},
		{"rsa", Upstream{IdentityFile: makeKey(t, "-t", "rsa", "-b", "2048", "-N", "")}, "", ""},
		{"rsa, PEM", Upstream{IdentityFile: makeKey(t, "-t", "rsa", "-b", "2048", "-N", "", "-m", "PEM")}, "", ""},
		{"ecdsa, PKCS #8", Upstream{IdentityFile: makeKey(t, "-t", "ecdsa", "-N", "", "-m", "PKCS8")}, "", ""},
		{"none pinned is refused later", Upstream{IdentityFile: good}, "", ""},
		{"no key", Upstream{}, "", "neither a key file nor ssh_agent"},
		{"missing", Upstream{IdentityFile: "/nonexistent/key"}, "", "no such file"},
		{"a directory", Upstream{IdentityFile: t.TempDir()}, "", "not a file"},
		{"open to others", Upstream{IdentityFile: open}, "", "chmod 600 "},
		{"a passphrase", Upstream{IdentityFile: makeKey(t, "-t", "ed25519", "-N", "secret phrase")}, "", "has a passphrase"},
		{"a passphrase, PEM", Upstream{IdentityFile: makeKey(t, "-t", "rsa", "-b", "2048", "-N", "secret phrase", "-m", "PEM")}, "", "has a passphrase"},
		{"a passphrase, PKCS #8", Upstream{IdentityFile: makeKey(t, "-t", "ecdsa", "-N", "secret phrase", "-m", "PKCS8")}, "", "has a passphrase"},
		{"the public key", Upstream{IdentityFile: good + ".pub"}, "", "is a public key"},
		{"garbage", Upstream{IdentityFile: garbage}, "", "is no private key"},
		{"agent", Upstream{SSHAgent: true}, sock, ""},
		{"agent not set", Upstream{SSHAgent: true}, "", "SSH_AUTH_SOCK is not set"},
		{"agent gone", Upstream{SSHAgent: true}, sock + "x", "no such file"},
		{"agent is a file", Upstream{SSHAgent: true}, good, "not a socket"},
		{"host key of another type", Upstream{IdentityFile: good, KnownHostKey: "ssh-rsa " + strings.Fields(pinned)[1]}, "", "not a valid"},
		{"host key cut short", Upstream{IdentityFile: good, KnownHostKey: pinned[:len(pinned)-8]}, "", "not a valid"},
		{"host key not base64", Upstream{IdentityFile: good, KnownHostKey: "ssh-ed25519 §"}, "", "not base64"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.upstream.Name = "repo"
			err := Preflight(Plan{Upstreams: []Upstream{tt.upstream}}, tt.sock)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("error %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "git remote repo")):
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestPreflightNamesEveryRemote(t *testing.T) {
	err := Preflight(Plan{Upstreams: []Upstream{{Name: "a"}, {Name: "b", SSHAgent: true}}}, "")
	for _, name := range []string{"git remote a:", "git remote b:"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want one with %q", err, name)
		}
	}
}
