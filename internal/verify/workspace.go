package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
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
			ID: "copies.workspace",
			Tried: "start a bottle on a working directory with links that lead out of it, a hard link to a file outside, setuid files, a pipe, a socket, a device, and names that mean something in an image or are no UTF-8; " +
				"look at it in the bottle, copy it back, and write into all of its files there",
			Control: "an ordinary file of it, of bytes of every value, is the same in the bottle and comes back, and so does one of another name; the agent writes into them",
			Breach:  "the bottle does not start, what a link leads to came along, something leads out of what is in the bottle or came back, something but files and directories is there, or a file of this machine is written to",
		}, run: workspaceProbe, own: true, plain: true},
	}
}

// Files of the working directory that the other bottle is started on.
const (
	workspaceDir      = "workspace"
	workspaceOrdinary = "sub/file"
	workspaceLatin    = "latin-1 \xfc/\xe9" // names that are no UTF-8
	workspaceShared   = "shared"            // a hard link to workspaceOutside/shared
	workspaceOutside  = "beside"            // a directory beside it
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
		os.Symlink("..", filepath.Join(root, "up")),
		os.WriteFile(filepath.Join(root, "setuid"), nil, 0o600),
		unix.Chmod(filepath.Join(root, "setuid"), unix.S_ISUID|unix.S_ISGID|0o755),
		unix.Mkfifo(filepath.Join(root, "pipe"), 0o600),
		plantSocket(filepath.Join(root, "socket")),
		os.Mkdir(filepath.Join(root, "latin-1 \xfc"), 0o700),
		os.WriteFile(filepath.Join(root, workspaceLatin), []byte(ordinary), 0o600),
		// Names of whiteouts (OCI image specification, layer.md).
		os.WriteFile(filepath.Join(root, ".wh..."), nil, 0o600),
		os.WriteFile(filepath.Join(root, ".wh.sub"), nil, 0o600),
		os.WriteFile(filepath.Join(root, "sub", ".wh..wh..opq"), nil, 0o600),
	)
	// The only device that a user may make (mknod(2)), and not in every sandbox.
	_ = unix.Mknod(filepath.Join(root, "device"), unix.S_IFCHR|0o600, int(unix.Mkdev(0, 0)))
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

// workspaceProbe copies the working directory back, looks at what it has become, here
// and in the bottle, and has the agent write into it.
func workspaceProbe(ctx context.Context, r *run) probe.Result {
	if r.blocked != nil {
		return breach("no bottle can be started on it: %v", r.blocked)
	}
	var said bytes.Buffer
	to := filepath.Join(r.dir, "back")
	err := r.ownLauncher(&said, &said).Copy(ctx, bottle.Location{Slug: r.other, Path: workspaceDir}, bottle.Location{Path: to})
	if err != nil {
		return incomplete("the working directory does not come back: %v %s", err, said.Bytes())
	}
	if path := otherThan(map[string]string{filepath.Join(to, workspaceOrdinary): r.ordinary, filepath.Join(to, workspaceLatin): r.ordinary}); path != "" {
		return incomplete("the ordinary file %s does not come back as it was", path)
	}
	texts := files(to)
	if holds(texts, r.canary) {
		return breach("what a link leads to came along")
	}
	if found, err := probe.Escaped(to); err != nil || found != "" {
		return breach("after the copy %s: %v", found, err)
	}
	container, err := r.client.Find(ctx, r.other)
	if err != nil {
		return incomplete("%v", err)
	}
	before := r.workspaceFiles()
	var inside probe.Copied
	if err := r.partIn(ctx, container.Container, &inside, "look", workspaceDir, workspaceOrdinary); err != nil {
		return incomplete("%v", err)
	}
	switch {
	case string(inside.Content) != r.ordinary:
		return incomplete("an ordinary file is %q in the bottle", inside.Content)
	case inside.Written == 0:
		return incomplete("the agent cannot even write into its own files")
	case inside.Escaped != "":
		return breach("in the bottle %s", inside.Escaped)
	}
	if path := differs(before, r.workspaceFiles()); path != "" {
		return breach("the agent has written to %s of this machine", path)
	}
	return held(
		fmt.Sprintf("an ordinary file is the same in the bottle and comes back; the agent wrote into %d files", inside.Written),
		"%d files come back, none of them from beside it, and nothing of it leads out of it in the bottle", len(texts),
	)
}

// workspaceFiles are the working directory's files and those beside it, on this machine.
func (r *run) workspaceFiles() map[string][]byte {
	texts := files(filepath.Join(r.dir, workspaceDir))
	maps.Copy(texts, files(filepath.Join(r.dir, workspaceOutside)))
	return texts
}

// differs returns a path whose file is another than before, new or gone; empty for none.
func differs(before, after map[string][]byte) string {
	for path, text := range after {
		if old, ok := before[path]; !ok || !bytes.Equal(old, text) {
			return path
		}
	}
	for path := range before {
		if _, ok := after[path]; !ok {
			return path
		}
	}
	return ""
}
