package verify

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/podbottle/podbottle/internal/bottle"
	"github.com/podbottle/podbottle/internal/verify/probe"
)

// workspaceProbes look at the copy of a working directory (podbottle start --cwd).
func workspaceProbes() []hostProbe {
	return []hostProbe{
		{Probe: probe.Probe{
			ID:      "copies.workspace",
			Tried:   "start a bottle on a working directory with links that lead out of it, a hard link to a file outside, a pipe and a socket, and copy it back",
			Control: "an ordinary file of it comes back",
			Breach:  "what a link leads to came along, a link leads out of what came back, or something but files and directories did",
		}, run: workspaceProbe, own: true, plain: true},
	}
}

// Files of the working directory that the other bottle is started on.
const (
	workspaceDir      = "workspace"
	workspaceOrdinary = "sub/file"
	workspaceShared   = "shared" // a hard link to workspaceOutside/shared
	workspaceOutside  = "beside" // a directory beside it
)

// plantWorkspace makes a working directory below dir that would carry what lies
// beside it into a bottle, if links were followed, and returns its path.
func plantWorkspace(dir, ordinary, outside string) (string, error) {
	root, beside := filepath.Join(dir, workspaceDir), filepath.Join(dir, workspaceOutside)
	err := errors.Join(
		os.MkdirAll(filepath.Join(root, "sub"), 0o700), os.Mkdir(beside, 0o700),
		os.WriteFile(filepath.Join(root, workspaceOrdinary), []byte(ordinary), 0o600),
		os.WriteFile(filepath.Join(beside, "canary"), []byte(outside), 0o600),
		os.WriteFile(filepath.Join(beside, "shared"), []byte(ordinary), 0o600),
		os.Link(filepath.Join(beside, "shared"), filepath.Join(root, workspaceShared)),
		os.Symlink(filepath.Join(beside, "canary"), filepath.Join(root, "absolute")),
		os.Symlink("../"+workspaceOutside+"/canary", filepath.Join(root, "relative")),
		os.Symlink("../"+workspaceOutside, filepath.Join(root, "directory")),
		os.Symlink("../sub/../../"+workspaceOutside+"/canary", filepath.Join(root, "sub", "around")),
		os.Symlink("directory/canary", filepath.Join(root, "through")),
		unix.Mkfifo(filepath.Join(root, "pipe"), 0o600),
		plantSocket(filepath.Join(root, "socket")),
	)
	breakWorkspace(root, outside)
	return root, err
}

func plantSocket(path string) error {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	return l.Close()
}

// workspaceProbe copies the working directory back and looks at what it has become.
func workspaceProbe(ctx context.Context, r *run) probe.Result {
	var said bytes.Buffer
	to := filepath.Join(r.dir, "back")
	err := r.ownLauncher(&said, &said).Copy(ctx, bottle.Location{Slug: r.other, Path: workspaceDir}, bottle.Location{Path: to})
	if err != nil {
		return incomplete("the working directory does not come back: %v %s", err, said.Bytes())
	}
	if text, err := os.ReadFile(filepath.Join(to, workspaceOrdinary)); err != nil || string(text) != r.ordinary { // #nosec G304 -- below a directory of ours
		return incomplete("an ordinary file comes back as %q: %v", text, err)
	}
	texts := files(to)
	if holds(texts, r.canary) {
		return breach("what a link leads to came along")
	}
	if found, err := escaped(to); err != nil || found != "" {
		return breach("after the copy %s: %v", found, err)
	}
	return held("an ordinary file comes back", "%d files come back, none of them from beside it", len(texts))
}
