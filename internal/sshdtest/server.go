// Package sshdtest runs a real OpenSSH server with bare git repositories: the
// remote of the tests and benchmarks of git-gate.
package sshdtest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Server is a running sshd. Its directory holds the keys and the repositories.
type Server struct {
	Dir  string
	Addr netip.AddrPort
	User string // who logs in, the one who runs this
	// AcceptEnv names the variables that sshd takes from a client.
	AcceptEnv string

	cmd *exec.Cmd
	log log
}

// Start makes keys in dir, named host, client and stranger, and serves the
// repositories below it at addr; port 0 takes a free one. Only client may log in.
// The caller stops the server.
func Start(dir string, addr netip.AddrPort) (*Server, error) {
	me, err := user.Current()
	if err != nil {
		return nil, err
	}
	if addr.Port() == 0 {
		if addr, err = freePort(addr.Addr()); err != nil {
			return nil, err
		}
	}
	s := &Server{Dir: dir, Addr: addr, User: me.Username, AcceptEnv: "GIT_PROTOCOL"}
	for _, name := range []string{"host", "client", "stranger"} {
		if err := MakeKey(s.Path(name)); err != nil {
			return nil, err
		}
	}
	return s, s.Start()
}

// MakeKey writes an ed25519 key without a passphrase to path and its public half to
// path.pub.
func MakeKey(path string) error {
	out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", filepath.Base(path), "-f", path).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ssh-keygen (Debian package openssh-client): %w: %s", err, out)
	}
	return nil
}

func freePort(host netip.Addr) (netip.AddrPort, error) {
	listener, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(host, 0)))
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).AddrPort(), nil
}

// Path is a path below the server's directory.
func (s *Server) Path(elem ...string) string {
	return filepath.Join(append([]string{s.Dir}, elem...)...)
}

// startTimeout bounds the wait for sshd to listen.
const startTimeout = 2 * time.Minute

// Start runs sshd again, with the host key that is in the directory now.
func (s *Server) Start() error {
	if os.Geteuid() == 0 {
		// Where Debian's sshd gives up its privileges; its unit makes it otherwise.
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			return err
		}
	}
	text := fmt.Sprintf("ListenAddress %s\nHostKey %s\nAuthorizedKeysFile %s\nStrictModes no\nUsePAM no\nPidFile none\n"+
		"PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nMaxStartups 200\nLogLevel VERBOSE\nAcceptEnv %s\n",
		s.Addr, s.Path("host"), s.Path("client.pub"), s.AcceptEnv)
	if err := os.WriteFile(s.Path("sshd_config"), []byte(text), 0o600); err != nil {
		return err
	}
	// sshd wants its own absolute path, which is on no user's PATH.
	s.cmd = exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", s.Path("sshd_config"))
	s.cmd.Stderr = &s.log
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("sshd (Debian package openssh-server): %w", err)
	}
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if strings.Contains(s.log.String(), "Server listening on") && s.answers() {
			return nil
		}
	}
	s.Stop()
	return errors.New("sshd does not listen: " + s.log.String())
}

func (s *Server) answers() bool {
	conn, err := net.Dial("tcp", s.Addr.String())
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// Stop ends the server. It can be started again.
func (s *Server) Stop() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}

// Logins counts who logged in so far.
func (s *Server) Logins() int { return strings.Count(s.log.String(), "Accepted publickey") }

// Log is what sshd printed so far, a line for each connection among it.
func (s *Server) Log() string { return s.log.String() }

// HostKey is a public key of the directory in the form that is pinned, "type
// base64"; HostKey("host") is the server's own.
func (s *Server) HostKey(name string) (string, error) {
	text, err := os.ReadFile(s.Path(name + ".pub"))
	if err != nil {
		return "", err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return "", fmt.Errorf("%s.pub is no public key", name)
	}
	return fields[0] + " " + fields[1], nil
}

// log collects what a process prints while others read it.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
