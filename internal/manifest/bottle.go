package manifest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/podbottle/podbottle/internal/visible"
)

// AgentProvider says which agent runs and on what.
type AgentProvider struct {
	Template               string // claude when the file names none
	Dockerfile             string // as written; empty for none
	ForwardHostCredentials bool
	AuthToken              string // name of a variable of the host
	Image                  string
	Command                []string
}

// Bottle is a bottle with everything that it extends folded in.
type Bottle struct {
	// Name is the bottle's name; of several bottles, their names joined with "+".
	Name string
	// Chain are the names of all bottles that went in, parents first.
	Chain         []string
	Label         string
	Env           []EnvVar // in the order in which their names were first written
	AgentProvider AgentProvider
	GitUser       GitUser
	Remotes       []Remote
	Routes        []Route
	Supervise     bool

	declared []string // keys that some file of the chain has
}

// parseBottle reads one file, without its parents.
func parseBottle(name string, d *document) (*Bottle, Names, error) {
	var f BottleFile
	if err := d.decode(&f); err != nil {
		return nil, nil, err
	}
	b := &Bottle{Name: name, Chain: []string{name}, Label: f.Label, Supervise: f.Supervise}
	for _, key := range []string{"label", "agent_provider", "egress", "supervise"} {
		if d.declares(key) {
			b.declared = append(b.declared, key)
		}
	}
	if !validLabel(f.Label) {
		return nil, nil, d.errorf(d.at("label"), "label must be at most 64 bytes that can be printed")
	}
	if d.declares("git") && d.declares("git-gate") {
		return nil, nil, d.errorf(d.at("git-gate"), "git and git-gate are two ways to write the same; keep one")
	}
	var err error
	if b.Env, err = d.env(f.Env); err != nil {
		return nil, nil, err
	}
	if b.AgentProvider, err = d.agentProvider(f.AgentProvider); err != nil {
		return nil, nil, err
	}
	if err := b.readGit(d, &f); err != nil {
		return nil, nil, err
	}
	if b.Routes, err = d.routes(f.Egress); err != nil {
		return nil, nil, err
	}
	return b, f.Extends, nil
}

func (b *Bottle) readGit(d *document, f *BottleFile) (err error) {
	var user *GitUserBlock
	key, list := "git", "remotes"
	switch {
	case f.Git != nil:
		user = f.Git.User
	case f.GitGate != nil:
		key, list, user = "git-gate", "repos", f.GitGate.User
	case d.declares("git-gate"):
		key = "git-gate"
	}
	n := child(d.root, key)
	if n != nil && (len(n.Content) == 0 || child(n, list) != nil) {
		b.declared = append(b.declared, "remotes")
	}
	if b.GitUser, err = d.gitUser(n, key, user); err != nil {
		return err
	}
	b.Remotes, err = d.remotes(f)
	return err
}

func (d *document) agentProvider(b *AgentProviderBlock) (AgentProvider, error) {
	p := AgentProvider{Template: "claude"}
	if b == nil {
		return p, nil
	}
	p = AgentProvider(*b)
	n := d.at("agent_provider")
	if p.Template == "" {
		p.Template = "claude"
	}
	if p.AuthToken != "" && !ValidVariable(p.AuthToken) {
		return p, d.errorf(orSelf(n, "auth_token"), "agent_provider.auth_token must be the name of a variable of the host, not a credential")
	}
	if !visible.Clean(p.Dockerfile) {
		return p, d.errorf(orSelf(n, "dockerfile"), "agent_provider.dockerfile holds a character that a path cannot have")
	}
	if !visible.Clean(p.Image) || strings.ContainsRune(p.Image, ' ') || strings.HasPrefix(p.Image, "-") {
		return p, d.errorf(orSelf(n, "image"), "agent_provider.image cannot be the name of an image")
	}
	for i, arg := range p.Command {
		if strings.ContainsRune(arg, 0) || (i == 0 && arg == "") {
			return p, d.errorf(orSelf(n, "command"), "agent_provider.command[%d] cannot be an argument", i)
		}
	}
	return p, nil
}

func (b *Bottle) has(key string) bool { return slices.Contains(b.declared, key) }

// Bottle gives the bottles of these names, each with all that it extends; of
// several, later ones are put over earlier ones as parents in a list are.
func (ix *Index) Bottle(names ...string) (*Bottle, error) {
	if len(names) == 0 {
		return nil, fmt.Errorf("no bottle is named; there are: %s", strings.Join(ix.bottles, ", "))
	}
	return ix.fold(names, nil, map[string]*Bottle{}, func(name string) error { return unknown("bottle", name, ix.bottles) })
}

// fold resolves the bottles in order and unites them. chain is the way to them,
// for cycles; unknownBottle makes the error for a name that no file has.
func (ix *Index) fold(names, chain []string, done map[string]*Bottle, unknownBottle func(string) error) (*Bottle, error) {
	var folded *Bottle
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return nil, fmt.Errorf("bottle %s is named twice", name)
		}
		if _, ok := slices.BinarySearch(ix.bottles, name); !ok {
			return nil, unknownBottle(name)
		}
		b, err := ix.resolveBottle(name, chain, done)
		if err != nil {
			return nil, err
		}
		if folded == nil {
			folded = b
			continue
		}
		if folded, err = folded.unite(b); err != nil {
			return nil, err
		}
	}
	return folded, nil
}

func (ix *Index) resolveBottle(name string, chain []string, done map[string]*Bottle) (*Bottle, error) {
	if b, ok := done[name]; ok {
		return b, nil
	}
	d, err := ix.readHome(ix.BottleFile(name))
	if err != nil {
		return nil, err
	}
	own, parents, err := parseBottle(name, d)
	if err != nil {
		return nil, err
	}
	chain = append(slices.Clone(chain), name)
	for _, parent := range parents {
		switch {
		case parent == name:
			return nil, d.errorf(d.at("extends"), "bottle %s extends itself", name)
		case slices.Contains(chain, parent):
			return nil, d.errorf(d.at("extends"), "bottles extend each other in a circle: %s -> %s", strings.Join(chain, " -> "), parent)
		}
	}
	if len(parents) > 0 {
		base, err := ix.fold(parents, chain, done, func(missing string) error {
			return d.errorf(d.at("extends"), "extends: %v", unknown("bottle", missing, ix.bottles))
		})
		if err != nil {
			return nil, err
		}
		own = base.overlay(own)
	}
	done[name] = own
	return own, nil
}
