// Package manifest reads the files in which users describe bottles and agents:
// Markdown with YAML front matter below ~/.bot-bottle, and agents below
// ./.bot-bottle of a repository, which is not trusted and may bring no bottle.
//
// Opening an Index lists names only. A file is read when its name is asked for,
// so a broken file is in nobody's way but its own user's.
package manifest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/podbottle/podbottle/internal/visible"
)

// The places of the files below the root and below a repository.
const (
	repositoryDir = ".bot-bottle"
	agentsDir     = "agents"
	bottlesDir    = "bottles"
	suffix        = ".md"
	staleFile     = "bot-bottle.json"
)

// ErrNoRoot is returned by Open when there is no manifest directory yet.
var ErrNoRoot = errors.New("there are no manifests yet; write the first with: podbottle init")

// Index knows the names of all agents and bottles.
type Index struct {
	root     string
	cwd      string // empty when the working directory has no manifests of its own
	bottles  []string
	home     []string // agents
	repo     []string // agents
	warnings []string
}

// AgentRef is an agent's name and the file it comes from.
type AgentRef struct {
	Name string `json:"name"`
	// FromCwd is true for the repository's file.
	FromCwd bool   `json:"from_cwd"`
	File    string `json:"file"`
	// Used is false for a repository's agent that home has too: it is used on request only.
	Used bool `json:"used"`
}

// Open lists the manifests below root (~/.bot-bottle) and below cwd/.bot-bottle.
// It fails with ErrNoRoot when root does not exist, and when a bot-bottle.json
// of old lies beside root or in cwd.
func Open(root, cwd string) (*Index, error) {
	for _, dir := range []string{filepath.Dir(root), cwd} {
		stale := filepath.Join(dir, staleFile)
		if _, err := os.Lstat(stale); err == nil {
			return nil, &Error{File: stale, Msg: "is no longer read: move each bottle to ~/.bot-bottle/bottles/NAME.md and each agent to ~/.bot-bottle/agents/NAME.md, then remove the file"}
		}
	}
	rootInfo, err := os.Stat(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", root, ErrNoRoot)
	}
	if err != nil {
		return nil, fmt.Errorf("open manifests: %w", err)
	}
	ix := &Index{root: root}
	if ix.bottles, err = ix.names(os.DirFS(root), root, bottlesDir); err != nil {
		return nil, err
	}
	if ix.home, err = ix.names(os.DirFS(root), root, agentsDir); err != nil {
		return nil, err
	}
	if cwd == "" {
		return ix, nil
	}
	local := filepath.Join(cwd, repositoryDir)
	if info, err := os.Stat(local); err != nil || os.SameFile(info, rootInfo) {
		return ix, nil
	}
	return ix, ix.openRepository(cwd)
}

// openRepository adds the agents of an untrusted directory; nothing outside of it is followed.
func (ix *Index) openRepository(cwd string) error {
	dir, err := os.OpenRoot(cwd)
	if err != nil {
		return fmt.Errorf("open manifests: %w", err)
	}
	defer dir.Close()
	ix.cwd = cwd
	if ix.repo, err = ix.names(dir.FS(), cwd, repositoryDir+"/"+agentsDir); err != nil {
		return err
	}
	if _, err := dir.Lstat(filepath.Join(repositoryDir, bottlesDir)); err == nil {
		ix.warnings = append(ix.warnings, fmt.Sprintf("%s is ignored: bottles are read from %s only",
			filepath.Join(cwd, repositoryDir, bottlesDir), filepath.Join(ix.root, bottlesDir)))
	}
	return nil
}

// names lists the manifests in a directory. Markdown files that cannot be one are warned about.
func (ix *Index) names(fsys fs.FS, base, dir string) ([]string, error) {
	entries, err := fs.ReadDir(fsys, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list manifests in %s: %w", visible.String(filepath.Join(base, dir)), err)
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), suffix)
		if !ok || e.IsDir() {
			continue
		}
		if !ValidName(name) {
			ix.warnings = append(ix.warnings, fmt.Sprintf("%s is ignored: names of agents and bottles are lower-case letters, digits and dashes",
				visible.String(filepath.Join(base, dir, e.Name()))))
			continue
		}
		names = append(names, name)
	}
	return names, nil
}

// Warnings are sentences for the user about files that do not count.
func (ix *Index) Warnings() []string { return ix.warnings }

// Bottles are the names of the bottles, sorted.
func (ix *Index) Bottles() []string { return ix.bottles }

// Agents are all agents, sorted by name, home before the repository.
func (ix *Index) Agents() []AgentRef {
	refs := make([]AgentRef, 0, len(ix.home)+len(ix.repo))
	for _, name := range ix.home {
		refs = append(refs, AgentRef{Name: name, File: ix.agentFile(name, false), Used: true})
	}
	for _, name := range ix.repo {
		_, inHome := slices.BinarySearch(ix.home, name)
		refs = append(refs, AgentRef{Name: name, FromCwd: true, File: ix.agentFile(name, true), Used: !inHome})
	}
	slices.SortStableFunc(refs, func(a, b AgentRef) int { return strings.Compare(a.Name, b.Name) })
	return refs
}

// AgentNames are the distinct names of all agents, sorted.
func (ix *Index) AgentNames() []string {
	names := slices.Concat(ix.home, ix.repo)
	slices.Sort(names)
	return slices.Compact(names)
}

// FindAgent says which file an agent's name means: home's, unless only the
// repository has it or fromCwd asks for the repository's.
func (ix *Index) FindAgent(name string, fromCwd bool) (AgentRef, error) {
	_, inHome := slices.BinarySearch(ix.home, name)
	_, inRepo := slices.BinarySearch(ix.repo, name)
	switch {
	case fromCwd && !inRepo:
		return AgentRef{}, fmt.Errorf("no agent %q in %s", name, filepath.Join(repositoryDir, agentsDir))
	case !inHome && !inRepo:
		return AgentRef{}, unknown("agent", name, ix.AgentNames())
	}
	repo := fromCwd || !inHome
	return AgentRef{Name: name, FromCwd: repo, File: ix.agentFile(name, repo), Used: true}, nil
}

// FindBottle gives the file of a bottle that there is.
func (ix *Index) FindBottle(name string) (string, error) {
	if _, ok := slices.BinarySearch(ix.bottles, name); !ok {
		return "", unknown("bottle", name, ix.bottles)
	}
	return ix.BottleFile(name), nil
}

// BottleFile is the path of a bottle's file, whether or not it exists.
func (ix *Index) BottleFile(name string) string {
	return filepath.Join(ix.root, bottlesDir, name+suffix)
}

func (ix *Index) agentFile(name string, fromCwd bool) string {
	if fromCwd {
		return filepath.Join(ix.cwd, repositoryDir, agentsDir, name+suffix)
	}
	return filepath.Join(ix.root, agentsDir, name+suffix)
}

// readHome reads a file that the user owns; links to elsewhere are followed.
func (ix *Index) readHome(file string) (*document, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO must not hang
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	defer f.Close()
	return readDocument(file, f)
}

// readRepository reads a repository's agent without leaving the repository.
func (ix *Index) readRepository(name string) (*document, error) {
	dir, err := os.OpenRoot(ix.cwd)
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	defer dir.Close()
	f, err := dir.OpenFile(filepath.Join(repositoryDir, agentsDir, name+suffix), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("read manifest in %s, whose links must not lead out of it: %w", ix.cwd, err)
	}
	defer f.Close()
	return readDocument(ix.agentFile(name, true), f)
}

// unknown names the known ones, and the nearest first.
func unknown(kind, name string, known []string) error {
	if len(known) == 0 {
		return fmt.Errorf("no %s %q; there is none yet, write the first with: podbottle init", kind, name)
	}
	const most = 20
	listed := strings.Join(known[:min(most, len(known))], ", ")
	if len(known) > most {
		listed += fmt.Sprintf(" and %d more", len(known)-most)
	}
	if near := nearest(name, known); near != "" {
		return fmt.Errorf("no %s %q: did you mean %q? There are: %s", kind, name, near, listed)
	}
	return fmt.Errorf("no %s %q; there are: %s", kind, name, listed)
}
