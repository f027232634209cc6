package resolve

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/podbottle/podbottle/internal/provider"
)

// Limits of one skill, which travels through memory.
const (
	maxSkillFiles = 10_000
	maxSkillBytes = 64 << 20
)

// skillsDir is where Claude Code keeps the user's skills.
func skillsDir(host Host) string { return filepath.Join(host.Home, ".claude", "skills") }

// checkSkills wants every named skill to be a directory.
func checkSkills(host Host, names []string) error {
	for _, name := range names {
		dir := filepath.Join(skillsDir(host), name)
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return fmt.Errorf("skill %s: there is no directory %s; create it or take the skill out of the agent's file", name, dir)
		}
	}
	return nil
}

// SkillFiles reads the plan's skills as files for the agent's home. A skill's
// own directory may be a link; links inside of it are left out.
func SkillFiles(plan *Plan) ([]provider.File, error) {
	var files []provider.File
	for _, name := range plan.Skills {
		guest := path.Join(plan.AgentProvision.GuestHome, ".claude", "skills", name)
		skill, err := readSkill(filepath.Join(plan.SkillsDir, name), guest)
		if err != nil {
			return nil, fmt.Errorf("skill %s: %w", name, err)
		}
		files = append(files, skill...)
	}
	return files, nil
}

func readSkill(dir, guest string) ([]provider.File, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var files []provider.File
	var total int64
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := root.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		if total += info.Size(); total > maxSkillBytes || len(files) == maxSkillFiles {
			return fmt.Errorf("it has more than %d files or %d MiB", maxSkillFiles, maxSkillBytes>>20)
		}
		content, err := io.ReadAll(io.LimitReader(f, info.Size()))
		files = append(files, provider.File{Path: path.Join(guest, name), Mode: info.Mode().Perm() | 0o600, Content: content})
		return err
	})
	if err == nil && len(files) == 0 {
		err = errors.New("it holds no file")
	}
	return files, err
}
