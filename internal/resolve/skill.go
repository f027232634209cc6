package resolve

import (
	"fmt"
	"os"
	"path/filepath"
)

// Skill is a directory of the host's ~/.claude/skills that is copied into the bottle.
type Skill struct {
	Name string `json:"name"`
	Dir  string `json:"dir"` // on the host
}

// findSkills wants every named skill to be a directory.
func findSkills(home string, names []string) ([]Skill, error) {
	skills := make([]Skill, 0, len(names))
	for _, name := range names {
		s := Skill{Name: name, Dir: filepath.Join(home, ".claude", "skills", name)}
		if info, err := os.Stat(s.Dir); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("skill %s: no directory %s; create it there or take it out of the agent's skills", name, s.Dir)
		}
		skills = append(skills, s)
	}
	return skills, nil
}
