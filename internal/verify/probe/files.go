package probe

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// secretEnvironment reads the environment of every process that can be seen.
func secretEnvironment(_ context.Context, b *bottle) Result {
	if b.task.Variable == "" {
		return b.searchProc("environ", "PATH=", "HOME=")
	}
	return b.searchProc("environ", b.task.Variable)
}

// secretArguments reads the arguments of every process that can be seen.
func secretArguments(_ context.Context, b *bottle) Result {
	return b.searchProc("cmdline", "probe")
}

// searchProc looks for the secrets in one file of every process, and for controls
// of which one has to be found.
func (b *bottle) searchProc(name string, controls ...string) Result {
	paths, err := filepath.Glob("/proc/[0-9]*/" + name)
	if err != nil {
		return incomplete("%v", err)
	}
	read, found := 0, ""
	for _, path := range paths {
		text, err := os.ReadFile(path) // #nosec G304 -- of /proc
		if err != nil {
			continue // another user's, or gone
		}
		read++
		for _, secret := range b.task.Secrets {
			if bytes.Contains(text, []byte(secret)) {
				return breach("%s holds a secret of the bottle", path)
			}
		}
		for _, control := range controls {
			if bytes.Contains(text, []byte(control)) {
				found = control
			}
		}
	}
	if found == "" {
		return incomplete("%q, which is known to be there, was not found in %d files", controls, read)
	}
	return held("%d files, no secret", read).with("%q was found", strings.SplitN(found, "=", 2)[0])
}

// skipped are trees that hold no files of their own.
var skipped = map[string]bool{"/proc": true, "/sys": true, "/dev": true}

// largest is how much of one file is searched.
const largest = 64 << 20

// secretFiles searches every file that can be read, and finds what it hid itself.
func secretFiles(ctx context.Context, b *bottle) Result {
	control := "control-" + b.mark()
	hidden, err := hide(control)
	if err != nil {
		return incomplete("no file can be written for the control: %v", err)
	}
	defer os.RemoveAll(filepath.Dir(hidden))
	files, found := 0, false
	var leak string
	err = filepath.WalkDir("/", func(path string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if skipped[path] {
			return fs.SkipDir
		}
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		matched, err := contains(path, append([]string{control}, b.task.Secrets...))
		if err != nil {
			return nil // not readable for this user
		}
		files++
		switch {
		case matched == control:
			found = true
		case matched != "":
			leak = path
			return fs.SkipAll
		}
		return nil
	})
	switch {
	case leak != "":
		return breach("%s holds a secret of the bottle", leak)
	case err != nil:
		return incomplete("%v", err)
	case !found:
		return incomplete("the file that was hidden for the control was not found in %d files", files)
	}
	return held("%d files, no secret", files).with("the file hidden for it was found")
}

func hide(text string) (string, error) {
	dir, err := scratch()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "hidden")
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// scratch makes a directory wherever this user may write.
func scratch() (string, error) {
	var problems []error
	for _, parent := range []string{os.Getenv("HOME"), "/tmp", "/var/tmp", "/dev/shm"} {
		dir, err := os.MkdirTemp(parent, "probe")
		if err == nil {
			return dir, nil
		}
		problems = append(problems, err)
	}
	return "", errors.Join(problems...)
}

// contains returns the first of the texts that the file holds.
func contains(path string, texts []string) (string, error) {
	file, err := os.Open(path) // #nosec G304 -- every file is looked at
	if err != nil {
		return "", err
	}
	defer file.Close()
	longest := 0
	for _, text := range texts {
		longest = max(longest, len(text))
	}
	reader := bufio.NewReaderSize(io.LimitReader(file, largest), 256<<10)
	buffer := make([]byte, 0, 256<<10+longest)
	for {
		n, err := reader.Read(buffer[len(buffer):cap(buffer)])
		buffer = buffer[:len(buffer)+n]
		for _, text := range texts {
			if bytes.Contains(buffer, []byte(text)) {
				return text, nil
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				return "", nil
			}
			return "", err
		}
		keep := min(longest, len(buffer))
		copy(buffer, buffer[len(buffer)-keep:])
		buffer = buffer[:keep]
	}
}

// filesSockets looks for sockets of the host: in the file tree, by the variables
// that name them, and in the table of abstract ones.
func filesSockets(ctx context.Context, _ *bottle) Result {
	dir, err := scratch()
	if err != nil {
		return incomplete("no directory for the control: %v", err)
	}
	defer os.RemoveAll(dir)
	own := filepath.Join(dir, "control.sock")
	listener, err := net.Listen("unix", own)
	if err != nil {
		return incomplete("no socket for the control: %v", err)
	}
	defer listener.Close()
	for _, name := range []string{"SSH_AUTH_SOCK", "DBUS_SESSION_BUS_ADDRESS", "WAYLAND_DISPLAY", "DISPLAY", "XAUTHORITY", "GPG_AGENT_INFO", "DOCKER_HOST", "CONTAINER_HOST", "XDG_RUNTIME_DIR", "NOTIFY_SOCKET", "LISTEN_FDS"} {
		if value, ok := os.LookupEnv(name); ok {
			return breach("the variable %s is set to %q", name, value)
		}
	}
	found := false
	var foreign []string
	err = filepath.WalkDir("/", func(path string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if path == "/proc" || path == "/sys" {
			return fs.SkipDir
		}
		if err != nil || d.IsDir() {
			return nil
		}
		// Not the directory's word: for a mount it tells what lies underneath.
		if info, err := os.Lstat(path); err != nil || info.Mode()&fs.ModeSocket == 0 {
			return nil
		}
		if path == own {
			found = true
		} else if !strings.HasSuffix(path, "/control.sock") { // of a probe that runs beside this one
			foreign = append(foreign, path)
		}
		return nil
	})
	if err != nil || !found {
		return incomplete("the socket that was made for the control was not found: %v", err)
	}
	abstract, _ := os.ReadFile("/proc/net/unix")
	for line := range strings.Lines(string(abstract)) {
		if i := strings.Index(line, " @"); i >= 0 {
			foreign = append(foreign, strings.TrimSpace(line[i+1:]))
		}
	}
	if len(foreign) > 0 {
		return breach("sockets: %s", strings.Join(foreign, " "))
	}
	return held("no socket in the file tree, none by name").with("a socket made for it was found")
}

// filesReadOnly tries to change what podbottle mounts into the agent.
func filesReadOnly(_ context.Context, b *bottle) Result {
	path, err := hide("control")
	if err != nil {
		return incomplete("no file can be written for the control: %v", err)
	}
	_ = os.RemoveAll(filepath.Dir(path))
	mounted := []string{"/.podbottle/podbottle-sidecar", "/run/podbottle/env", "/run/podbottle/ca-bundle.crt", "/etc/ssl/certs/ca-certificates.crt"}
	for _, path := range mounted {
		if _, err := os.Stat(path); err != nil {
			return incomplete("%v", err)
		}
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			_ = file.Close()
			return breach("%s can be opened for writing", path)
		}
	}
	name := "/run/podbottle/new-" + b.task.User
	if err := os.WriteFile(name, nil, 0o600); err == nil {
		return breach("%s can be written", name)
	}
	return held("%d files, none can be changed", len(mounted)).with("a file was written elsewhere")
}

// filesDevices looks for devices of the host, and tries to make some.
func filesDevices(_ context.Context, _ *bottle) Result {
	known := map[string]bool{}
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty", "console", "ptmx", "pts", "shm", "mqueue", "fd", "stdin", "stdout", "stderr", "core", "net"} {
		known[name] = true
	}
	if isGVisor() {
		known["fuse"], known["char"] = true, true // its own: the host's are not behind them
	}
	entries, err := os.ReadDir("/dev")
	if err != nil {
		return incomplete("%v", err)
	}
	var names []string
	null := false
	for _, entry := range entries {
		null = null || entry.Name() == "null"
		if !known[entry.Name()] {
			names = append(names, entry.Name())
		}
	}
	if tun, err := os.ReadDir("/dev/net"); err == nil && !isGVisor() { // its own as well
		for _, entry := range tun {
			file, err := os.OpenFile("/dev/net/"+entry.Name(), os.O_RDWR, 0)
			if err == nil {
				_ = file.Close()
				names = append(names, "net/"+entry.Name())
			}
		}
	}
	switch {
	case !null:
		return incomplete("/dev/null is not even there")
	case len(names) > 0:
		return breach("devices: %s", strings.Join(names, " "))
	}
	dir, err := scratch()
	if err != nil {
		return incomplete("%v", err)
	}
	defer os.RemoveAll(dir)
	if err := unix.Mkfifo(dir+"/control", 0o600); err != nil {
		return incomplete("not even a pipe can be made: %v", err)
	}
	for _, d := range []struct {
		mode         uint32
		major, minor uint32
	}{{unix.S_IFBLK, 8, 0}, {unix.S_IFCHR, 1, 1}, {unix.S_IFCHR, 10, 200}, {unix.S_IFBLK, 259, 0}} {
		path := fmt.Sprintf("%s/%d-%d", dir, d.major, d.minor)
		if err := unix.Mknod(path, d.mode|0o600, int(unix.Mkdev(d.major, d.minor))); err == nil {
			return breach("the device %d:%d was made", d.major, d.minor)
		}
	}
	return held("no device of the host, and none can be made").with("/dev/null is there; a pipe was made")
}
