// Package bottle is the life of a bottle: planned, shown to the user, launched,
// attached to, ended, and resumed. It ties the deciding packages (manifest,
// resolve, blueprint) to the acting one (pod).
package bottle

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/podbottle/podbottle/images"
	"github.com/podbottle/podbottle/internal/config"
	"github.com/podbottle/podbottle/internal/pod"
	"github.com/podbottle/podbottle/internal/progress"
	"github.com/podbottle/podbottle/internal/resolve"
	"github.com/podbottle/podbottle/internal/secret"
	"github.com/podbottle/podbottle/internal/state"
)

// Launcher is podbottle for one user: where his files are, and his terminal.
type Launcher struct {
	Root   string // ~/.bot-bottle
	Home   string
	Cwd    string
	Lookup func(string) (string, bool) // environment
	Config config.Config

	In          *os.File
	Out, Err    io.Writer
	Interactive bool // the user can be asked
	Terminal    bool // an agent or a command can have the user's terminal
	Ask         func(prompt string) (string, error)
	AskSecret   func(name, prompt string) (secret.Value, error)

	Progress *progress.Status
}

// quiet is the launcher without what it says besides the progress of steps.
func (l *Launcher) quiet() *Launcher {
	own := *l
	own.Err = io.Discard
	return &own
}

// RuntimeDir is the bottle's directory on tmpfs.
func (l *Launcher) RuntimeDir(slug string) (string, error) {
	root, err := pod.RuntimeRoot()
	if err != nil {
		return "", err
	}
	return state.Runtime(root, slug).Dir(), nil
}

// dataDir keeps what containers hold on to by path for all their life: the
// runtime wrapper and the handover program.
func (l *Launcher) dataDir() string {
	if dir, ok := l.Lookup("XDG_DATA_HOME"); ok && filepath.IsAbs(dir) {
		return filepath.Join(dir, "podbottle")
	}
	return filepath.Join(l.Home, ".local", "share", "podbottle")
}

// host is the world as resolution sees it. claim is called with the slug before
// anything is written for it.
func (l *Launcher) host(ctx context.Context, client *pod.Client, runsc bool, claim func(slug string) error) resolve.Host {
	host := resolve.Host{
		LookupEnv:      l.Lookup,
		Now:            time.Now,
		Rand:           rand.Reader,
		Root:           l.Root,
		Home:           l.Home,
		Exists:         func(kind, name string) (bool, error) { return client.Exists(ctx, kind, name) },
		RunscAvailable: runsc,
		Claim:          claim,
		Embedded:       images.Files(),
	}
	if l.Interactive {
		host.Prompt = l.AskSecret
	}
	return host
}

// ErrDeclined says that the user did not want the bottle.
var ErrDeclined = errors.New("not started")
