package manifest

import (
	"fmt"
	"strings"
)

// Agent is one agent's file.
type Agent struct {
	AgentRef
	Bottle  string   // empty when the file names none
	Skills  []string // checked names, in order
	Label   string
	GitUser GitUser
	Prompt  string // the text below the front matter, without surrounding white space
}

// Agent reads the agent that FindAgent finds.
func (ix *Index) Agent(name string, fromCwd bool) (*Agent, error) {
	ref, err := ix.FindAgent(name, fromCwd)
	if err != nil {
		return nil, err
	}
	var d *document
	if ref.FromCwd {
		d, err = ix.readRepository(name)
	} else {
		d, err = ix.readHome(ref.File)
	}
	if err != nil {
		return nil, err
	}
	a, err := parseAgent(d)
	if err != nil {
		return nil, err
	}
	a.AgentRef = ref
	return a, nil
}

func parseAgent(d *document) (*Agent, error) {
	var f AgentFile
	if err := d.decode(&f); err != nil {
		return nil, err
	}
	a := &Agent{Bottle: f.Bottle, Skills: append([]string{}, f.Skills...), Label: f.Label, Prompt: d.body}
	switch {
	case a.Bottle != "" && !ValidName(a.Bottle):
		return nil, d.errorf(d.at("bottle"), "bottle: %q cannot be the name of a bottle: lower-case letters, digits and dashes", a.Bottle)
	case !validLabel(a.Label):
		return nil, d.errorf(d.at("label"), "label must be at most 64 bytes that can be printed")
	case d.declares("git") && d.declares("git-gate"):
		return nil, d.errorf(d.at("git-gate"), "git and git-gate are two ways to write the same; keep one")
	case strings.ContainsRune(a.Prompt, 0):
		return nil, d.errorf(nil, "the prompt holds a NUL")
	}
	for i, skill := range a.Skills {
		if !ValidName(skill) {
			return nil, d.errorf(d.at("skills", i), "skills: %q cannot be the name of a skill: lower-case letters, digits and dashes", skill)
		}
	}
	key, block := "git", f.Git
	if f.GitGate != nil {
		key, block = "git-gate", f.GitGate
	}
	if block != nil {
		var err error
		if a.GitUser, err = d.gitUser(child(d.root, key), key, block.User); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// BottleFor gives the bottle that an agent runs in, with the agent's commit
// identity over the bottle's. names are the bottles of an agent that names none.
func (ix *Index) BottleFor(a *Agent, names []string) (*Bottle, error) {
	switch {
	case a.Bottle == "" && len(names) == 0:
		return nil, fmt.Errorf("agent %s names no bottle; choose with --bottle NAME: %s", a.Name, strings.Join(ix.bottles, ", "))
	case a.Bottle != "" && len(names) > 0:
		return nil, fmt.Errorf("agent %s runs in the bottle %s; --bottle is for agents that name none", a.Name, a.Bottle)
	case a.Bottle != "":
		names = []string{a.Bottle}
	}
	found, err := ix.fold(names, nil, map[string]*Bottle{}, func(name string) error {
		return fmt.Errorf("agent %s: %w", a.Name, unknown("bottle", name, ix.bottles))
	})
	if err != nil {
		return nil, err
	}
	bottle := *found
	bottle.GitUser = bottle.GitUser.overlay(a.GitUser)
	return &bottle, nil
}
