// Package images holds the Containerfiles that podbottle builds from.
package images

import (
	"embed"
	"io/fs"
	"path"
	"strings"
)

//go:embed claude codex git-gate
var files embed.FS

// Prefix marks a DockerfilePath that names a file of this package.
const Prefix = "embedded:images/"

// Files is the embedded tree under the names of a DockerfilePath without its
// scheme: images/claude/Containerfile.
func Files() fs.FS { return below{files} }

// below shows a file system as the directory images.
type below struct{ fs.FS }

func (b below) Open(name string) (fs.File, error) {
	rest, ok := strings.CutPrefix(name, "images/")
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return b.FS.Open(rest)
}

// Containerfile returns the text of name/Containerfile, such as claude's.
func Containerfile(name string) ([]byte, error) {
	return files.ReadFile(path.Join(name, "Containerfile"))
}

// Names lists the images, sorted.
func Names() ([]string, error) {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names, nil
}
