package gate

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/podbottle/podbottle/internal/gitgate"
)

// work is the gate's private directory: what the programs around git need, and
// nothing that outlives the gate.
type work string

func (w work) path(elem ...string) string {
	return filepath.Join(append([]string{string(w)}, elem...)...)
}

func (w work) program(name string) string   { return w.path("bin", name) }
func (w work) hooks() string                { return w.path("hooks") }
func (w work) socket() string               { return w.path("gate.sock") }
func (w work) home() string                 { return w.path("home") }
func (w work) key(repository string) string { return w.path("keys", repository) }
func (w work) configDir() string            { return w.path("config") }
func (w work) knownHosts() string           { return w.path("config", gitgate.KnownHostsFile) }
func (w work) agentSocket() string          { return w.path("agent.sock") }

// config reads the configuration again, in a program that git runs.
func (w work) config() (gitgate.Config, error) {
	if w == "" {
		return gitgate.Config{}, errors.New("only git-gate runs this program")
	}
	text, err := os.ReadFile(filepath.Join(w.configDir(), gitgate.ConfigFile))
	if err != nil {
		return gitgate.Config{}, err
	}
	return gitgate.ParseConfig(text)
}

// newWork makes an empty work directory below the temporary one.
func newWork() (work, error) {
	dir, err := os.MkdirTemp("", "podbottle-git-gate-")
	if err != nil {
		return "", err
	}
	// Git and ssh hand the paths of the programs to a shell only if they hold a
	// character that is special there.
	if strings.Trim(dir, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-") != "" {
		return "", fmt.Errorf("the temporary directory %s has a character that a shell would interpret; set TMPDIR", dir)
	}
	return work(dir), nil
}

// create fills the directory: links to this binary under the names of the programs
// and hooks, and to what the programs read.
func (w work) create(f flags) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for _, dir := range []string{"bin", "hooks", "home", "keys"} {
		if err := os.Mkdir(w.path(dir), 0o700); err != nil {
			return err
		}
	}
	links := map[string]string{
		w.program(accessProgram):        self,
		w.program(sshProgram):           self,
		w.program(dialProgram):          self,
		w.path("hooks", preReceiveHook): self,
		w.configDir():                   f.configDir,
		w.agentSocket():                 f.agentSocket,
	}
	for name, target := range links {
		target, err := filepath.Abs(target)
		if err != nil {
			return err
		}
		if err := os.Symlink(target, name); err != nil {
			return err
		}
	}
	return nil
}
