package resolve

import (
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/podbottle/podbottle/internal/secret"
)

// The kinds of objects that Host.Exists is asked for.
const (
	KindContainer = "container"
	KindPod       = "pod"
)

// Host is all that resolution sees of the machine. With the same Host, manifest
// and specification the plan is the same.
type Host struct {
	LookupEnv func(name string) (string, bool)
	Now       func() time.Time
	// Rand gives the random part of a slug; crypto/rand.Reader outside of tests.
	Rand io.Reader
	// Root is the state tree, see state.Root.
	Root string
	Home string // the user's home directory
	// StageDir is a scratch directory that the caller removes; may be empty.
	StageDir string
	// Exists asks Podman for a container or a pod of this name.
	Exists func(kind, name string) (bool, error)
	// RunscAvailable says whether the agent can run under gVisor.
	RunscAvailable bool
	// Prompt asks the user for the value of a variable without echo; text may be
	// empty. Nil when there is no terminal.
	Prompt func(name, text string) (secret.Value, error)
	// StandIns puts the same harmless value in the place of each forwarded variable, so
	// that a plan can be compared where the variables are not set.
	StandIns bool
	// Claim is called once with the slug before anything is written, so that the
	// caller can lock the bottle; nil when it holds the lock already.
	Claim func(slug string) error
	// Embedded holds the recipes that DockerfilePath calls "embedded:…"; may be nil.
	Embedded fs.FS
}

// env is the value of a variable, or fallback when it is unset.
func (h Host) env(name, fallback string) string {
	if v, ok := h.LookupEnv(name); ok {
		return v
	}
	return fallback
}

// expand gives a path of a manifest: ~ is the home directory, a relative path starts at base.
func (h Host) expand(path, base string) string {
	if rest, ok := strings.CutPrefix(path, "~"); ok && (rest == "" || rest[0] == '/') {
		return filepath.Join(h.Home, rest)
	}
	if !filepath.IsAbs(path) {
		return filepath.Join(base, path)
	}
	return path
}
