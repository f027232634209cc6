package probe

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// TestWhoseSocket judges what the kernel says of a socket.
func TestWhoseSocket(t *testing.T) {
	for _, test := range []struct {
		name string
		evidence
		want bool
	}{
		{"a process of the container listens", evidence{told: true, pid: 7}, true},
		{"somebody outside listens, and the same path was bound here", evidence{told: true, listed: true, place: true}, false},
		{"nobody listens, in the home", evidence{answer: unix.ECONNREFUSED, place: true}, true},
		{"nobody listens, on a mount", evidence{answer: unix.ECONNREFUSED}, false},
		{"datagrams, bound here", evidence{listed: true}, true},
		{"datagrams, not bound here", evidence{place: true}, false},
		{"it may not be connected to, and was bound here", evidence{answer: unix.EACCES, listed: true}, true},
		{"it may not be connected to, in a temporary directory", evidence{answer: unix.EACCES, place: true}, true},
		{"it may not be connected to, on a mount", evidence{answer: unix.EACCES}, false},
	} {
		if got := test.own(); got != test.want {
			t.Errorf("%s: own is %t", test.name, got)
		}
	}
}

// TestOwnSockets makes one socket of each kind, as an agent does, and looks for them.
func TestOwnSockets(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	bind := func(kind int, name string, listen bool) {
		t.Helper()
		fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Close(fd) })
		if err := unix.Bind(fd, &unix.SockaddrUnix{Name: name}); err != nil {
			t.Fatal(err)
		}
		if listen {
			if err := unix.Listen(fd, 1); err != nil {
				t.Fatal(err)
			}
		}
	}
	name := "podbottle-" + filepath.Base(dir) + "-" + filepath.Base(filepath.Dir(dir))
	bind(unix.SOCK_STREAM, filepath.Join(dir, "stream"), true)
	bind(unix.SOCK_SEQPACKET, filepath.Join(dir, "packets"), true)
	bind(unix.SOCK_DGRAM, filepath.Join(dir, "datagrams"), false)
	bind(unix.SOCK_DGRAM, "relative", false)
	bind(unix.SOCK_STREAM, "@"+name, true)
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "dead"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	_ = dead.Close()

	paths, err := socketFiles(t.Context(), dir)
	if err != nil || len(paths) != 5 {
		t.Fatalf("found %q, %v", paths, err)
	}
	// As in a container: the host's namespaces are others.
	w, err := newWitness(map[string]string{})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if e := w.ofFile(path); !e.own() {
			t.Errorf("%s: %+v", path, e)
		}
	}
	if !slices.Contains(w.abstract(), name) || !w.ofAbstract(name).own() {
		t.Errorf("abstract names %q", w.abstract())
	}
	// The same on a mount from outside, and in the host's namespaces: nothing speaks for them.
	w.mounts = append(w.mounts, dir)
	if e := w.ofFile(filepath.Join(dir, "dead")); e.own() {
		t.Errorf("one that nobody listens on, on a mount: %+v", e)
	}
	w.peers, w.network, w.names = false, false, nil
	for _, path := range paths {
		if e := w.ofFile(path); e.own() {
			t.Errorf("%s, of which nothing is known: %+v", path, e)
		}
	}
	if w.ofAbstract(name).own() {
		t.Error("an abstract socket in the host's network namespace is taken for the container's own")
	}
}

func TestLongSocketPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), string(slices.Repeat([]byte("a"), 200)))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	l, err := net.Listen("unix", "s")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w, err := newWitness(map[string]string{})
	if err != nil {
		t.Fatal(err)
	}
	if e := w.ofFile(filepath.Join(dir, "s")); e.answer != nil || e.pid != os.Getpid() || !e.own() {
		t.Errorf("%+v", e)
	}
}

func TestSocketNames(t *testing.T) {
	const table = "Num       RefCount Protocol Flags    Type St Inode Path\n" +
		"0000000029f309bf: 00000002 00000000 00010000 0005 01 88781 /tmp/a b\n" +
		"000000009a095b81: 00000003 00000000 00000000 0001 03 88784\n" +
		"0000000000000000: 00000001 00000000 00010000 0001 01       13 @name\n"
	if got := socketNames(table); !slices.Equal(got, []string{"/tmp/a b", "@name"}) {
		t.Errorf("%q", got)
	}
	const mounts = "16 15 0:18 / / rw - 9p none rw\n23 16 0:24 /x /home/a\\040b rw,nosuid - 9p none rw\n"
	if got := mountPoints(mounts); !slices.Equal(got, []string{"/", "/home/a b"}) {
		t.Errorf("%q", got)
	}
}
