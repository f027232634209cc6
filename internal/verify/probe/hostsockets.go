package probe

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// hostVariables name sockets of the host, or where they lie.
var hostVariables = []string{
	"SSH_AUTH_SOCK", "DBUS_SESSION_BUS_ADDRESS", "WAYLAND_DISPLAY", "DISPLAY", "XAUTHORITY", "GPG_AGENT_INFO",
	"DOCKER_HOST", "CONTAINER_HOST", "XDG_RUNTIME_DIR", "NOTIFY_SOCKET", "LISTEN_FDS",
}

// hostSockets looks for sockets of the host: in the file tree, by the variables
// that name them, and in the table of abstract ones. An agent at work has sockets
// of its own (ssh-agent, tmux), which are no way out.
func hostSockets(ctx context.Context, b *bottle) Result {
	for _, name := range hostVariables {
		if value, ok := os.LookupEnv(name); ok {
			return breach("the variable %s is set to %q", name, value)
		}
	}
	dir, err := scratch()
	if err != nil {
		return incomplete("no directory for the control: %v", err)
	}
	defer os.RemoveAll(dir)
	control := filepath.Join(dir, "control.sock")
	listener, err := net.Listen("unix", control)
	if err != nil {
		return incomplete("no socket for the control: %v", err)
	}
	defer listener.Close()
	paths, err := socketFiles(ctx, "/")
	if err != nil || !slices.Contains(paths, control) {
		return incomplete("the socket that was made for the control was not found: %v", err)
	}
	w, err := newWitness(b.task.Namespaces)
	if err != nil {
		return incomplete("%v", err)
	}
	if !w.ofFile(control).own() {
		return incomplete("the socket that was made for the control cannot be told from one of the host's")
	}
	var foreign []string
	for _, path := range paths {
		if !w.ofFile(path).own() {
			foreign = append(foreign, path)
		}
	}
	names := w.abstract()
	for _, name := range names {
		if !w.ofAbstract(name).own() {
			foreign = append(foreign, "@"+name)
		}
	}
	if len(foreign) > 0 {
		return breach("sockets: %s", strings.Join(foreign, " "))
	}
	return held("no socket of the host in the file tree, none by name; %d of this container's own", len(paths)+len(names)-1).
		with("a socket made for it was found, and is this container's own")
}

// socketFiles are the paths of all sockets in a file tree.
func socketFiles(ctx context.Context, root string) ([]string, error) {
	var paths []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case path == "/proc", path == "/sys":
			return fs.SkipDir
		case err != nil, d.IsDir():
			return nil
		}
		// Not the directory's word: for a mount it tells what lies underneath.
		if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSocket != 0 {
			paths = append(paths, path)
		}
		return nil
	})
	return paths, err
}

// evidence is what the kernel tells of one socket.
type evidence struct {
	answer error // of connecting to it; nil when somebody listens
	// told says that the kernel would name the listener, and pid is his number in this
	// container; 0 for a process outside of it (SO_PEERCRED, unix(7)).
	told bool
	pid  int
	// listed says that it was bound in this container's network namespace (/proc/net/unix, proc(5)).
	listed bool
	// place says that it is where a process of this container may have made it.
	place bool
}

// own tells whether a socket is one of this container's own processes'.
func (e evidence) own() bool {
	switch {
	case e.told:
		return e.pid != 0
	case e.answer != nil: // a process has ended, it is another user's, or gVisor lets nobody reach the host's
		return e.listed || e.place
	default:
		return e.listed
	}
}

// witness knows what there is to know about all sockets.
type witness struct {
	names  []string // of /proc/net/unix: a path, or @ and an abstract name
	mounts []string // mount points
	// peers and network tell whether the namespaces of processes and of the network are
	// this container's alone. gVisor numbers no peer.
	peers, network bool
}

func newWitness(host map[string]string) (*witness, error) {
	table, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		return nil, err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	alone := func(kind string) bool {
		own, err := os.Readlink("/proc/self/ns/" + kind)
		return err == nil && own != host[kind]
	}
	return &witness{
		names: socketNames(string(table)), mounts: mountPoints(string(mounts)),
		peers: !isGVisor() && alone("pid"), network: isGVisor() || alone("net"),
	}, nil
}

// socketNames reads /proc/net/unix, whose eighth column is the name.
func socketNames(table string) []string {
	const before = 7
	var names []string
	for line := range strings.Lines(table) {
		rest := strings.TrimSuffix(line, "\n")
		for range before {
			_, rest, _ = strings.Cut(strings.TrimLeft(rest, " "), " ")
		}
		if name := strings.TrimLeft(rest, " "); name != "" && name != "Path" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// mountPoints reads mountinfo (proc(5)), whose fifth column is the mount point.
func mountPoints(mountinfo string) []string {
	const point = 4
	var points []string
	for line := range strings.Lines(mountinfo) {
		if fields := strings.Fields(line); len(fields) > point {
			points = append(points, unescape.Replace(fields[point]))
		}
	}
	return points
}

var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// abstract are the names of all abstract sockets.
func (w *witness) abstract() []string {
	var names []string
	for _, name := range w.names {
		if name, ok := strings.CutPrefix(name, "@"); ok {
			names = append(names, name)
		}
	}
	return names
}

func (w *witness) ofAbstract(name string) evidence {
	e := w.ask("@" + name)
	e.listed, e.place = w.network, w.network
	return e
}

func (w *witness) ofFile(path string) evidence {
	name := path
	if len(path) >= len(unix.RawSockaddrUnix{}.Path) { // no address holds it
		if dir, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_CLOEXEC, 0); err == nil {
			defer unix.Close(dir)
			name = fmt.Sprintf("/proc/self/fd/%d/%s", dir, filepath.Base(path))
		}
	}
	e := w.ask(name)
	e.place = w.writable(path)
	e.listed = slices.ContainsFunc(w.names, func(name string) bool {
		return name == path || e.place && !filepath.IsAbs(name) && strings.HasSuffix(path, "/"+name) // bound by a relative name
	})
	return e
}

// writable tells whether a path lies on none of the mounts that come from outside,
// but for the home.
func (w *witness) writable(path string) bool {
	longest := "/"
	for _, point := range w.mounts {
		if (path == point || strings.HasPrefix(path, point+"/")) && len(point) > len(longest) {
			longest = point
		}
	}
	return slices.Contains([]string{"/", "/tmp", "/var/tmp", "/run", "/dev", "/dev/shm", os.Getenv("HOME")}, longest)
}

// ask connects to a socket, as one of each type.
func (w *witness) ask(name string) evidence {
	e := evidence{answer: unix.EPROTOTYPE}
	for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_SEQPACKET, unix.SOCK_DGRAM} {
		pid, err := connect(kind, name)
		if err == nil {
			// A datagram socket has no listener that could be named.
			told := w.peers && kind != unix.SOCK_DGRAM
			return evidence{told: told, pid: pid}
		}
		if errors.Is(e.answer, unix.EPROTOTYPE) {
			e.answer = err
		}
	}
	return e
}

// connect returns the number of the process that listens, 0 where the kernel does not
// tell, and an error where no connection is made.
func connect(kind int, name string) (pid int, err error) {
	fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: name}); err != nil {
		return 0, err
	}
	peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return 0, nil //nolint:nilerr // the connection was made, which is the finding; 0 says that its listener is unknown
	}
	return int(peer.Pid), nil
}
