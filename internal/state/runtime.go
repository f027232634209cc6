package state

import "path/filepath"

// RuntimeTree is the directory of a live bottle on tmpfs,
// $XDG_RUNTIME_DIR/podbottle/<slug>. It is 0700, which keeps everybody else out
// of the directories in it: those are readable by the containers' subordinate uids.
type RuntimeTree struct{ dir string }

// Runtime returns the runtime directory of the bottle slug.
func Runtime(xdgRuntimeDir, slug string) RuntimeTree {
	return RuntimeTree{dir: filepath.Join(xdgRuntimeDir, "podbottle", slug)}
}

// Dir is the bottle's whole runtime directory.
func (r RuntimeTree) Dir() string { return r.dir }

// Service returns the part that one container mounts.
func (r RuntimeTree) Service(name string) RuntimeService {
	return RuntimeService{dir: filepath.Join(r.dir, name)}
}

// RuntimeService is the runtime directory of one container of a live bottle.
type RuntimeService struct{ dir string }

// Dir is the service's whole directory.
func (s RuntimeService) Dir() string { return s.dir }

// Config holds the configuration, which may be replaced while the bottle lives.
func (s RuntimeService) Config() string { return filepath.Join(s.dir, "config") }

// Secrets holds one file a secret.
func (s RuntimeService) Secrets() string { return filepath.Join(s.dir, "secrets") }

// Run is writable by the container: the marker files ready and agent-ready.
func (s RuntimeService) Run() string { return filepath.Join(s.dir, "run") }
