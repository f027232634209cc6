package archive

import (
	"path"
	"slices"
	"strings"
)

// Report is what came out of an archive.
type Report struct {
	Files int   // with links, without directories
	Bytes int64 // of files
	// Settings are files that programs of the host act on when they are used in the
	// place that they were copied to: git's, editors', other agents'.
	Settings []string
	Unlisted int // how many more there are than Settings has
}

// maxSettings bounds the names that a report lists.
const maxSettings = 20

func (r *Report) add(m member, size int64) {
	switch m.kind {
	case skipped, directory:
		return
	case file:
		r.Bytes += size
	case symlink, hardlink:
	}
	r.Files++
	switch {
	case !isSetting(m.name) && (m.kind != symlink || !isSetting(m.name+"/x")): // what it leads to has another name
	case len(r.Settings) < maxSettings:
		r.Settings = append(r.Settings, m.name)
	default:
		r.Unlisted++
	}
}

// settingDirs are directories whose files editors and agents obey once the tree
// they lie in is opened.
var settingDirs = []string{".vscode", ".idea", ".claude", ".codex", ".cursor", ".devcontainer", ".zed", ".husky"}

// settingFiles are files that a program runs or obeys where they lie.
var settingFiles = []string{".envrc", ".mcp.json", ".gitmodules", ".gitattributes", ".npmrc", ".yarnrc.yml"}

// isSetting reports whether some program of the host would act on a file of this
// name: git runs what its configuration names and its hooks (git-config(1),
// core.fsmonitor and core.hooksPath), editors run tasks.
func isSetting(name string) bool {
	dir, base := path.Split(name)
	if slices.Contains(settingFiles, base) {
		return true
	}
	elements := strings.Split(strings.TrimSuffix(dir, "/"), "/")
	if slices.ContainsFunc(elements, func(e string) bool { return slices.Contains(settingDirs, e) }) {
		return true
	}
	// A bare repository has no .git, so its parts tell it. A file or a link in the place of
	// .git makes one of any directory (gitrepository-layout(5)).
	inGit := slices.Contains(elements, ".git")
	switch parent := path.Base(dir); {
	case base == ".git", base == "HEAD" && !inGit:
		return true
	case parent == "hooks":
		return !strings.HasSuffix(base, ".sample")
	case base == "config", base == "config.worktree":
		return inGit
	}
	return false
}
