package probe

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// here is a task for probes that are run outside any bottle, where nothing holds.
func here(t *testing.T) *bottle {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return newBottle(Task{User: "agent", Mark: "pbvtest", Egress: listener.Addr().(*net.TCPAddr).AddrPort()})
}

// TestProbesCanFail runs probes where there is no bottle: a connection that is
// taken, or refused by somebody, is a breach.
func TestProbesCanFail(t *testing.T) {
	b := here(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	open := listener.Addr().(*net.TCPAddr).AddrPort()
	if got := b.unreachable(t.Context(), "tcp", open); got.Outcome != Breach {
		t.Errorf("an open port: %+v", got)
	}
	_ = listener.Close()
	if got := b.unreachable(t.Context(), "tcp", open); got.Outcome != Breach {
		t.Errorf("a port whose host answers: %+v", got)
	}
	b.task.Egress = open
	if got := b.unreachable(t.Context(), "tcp", netip.MustParseAddrPort("192.0.2.1:80")); got.Outcome != Incomplete {
		t.Errorf("without egress, the control: %+v", got)
	}
}

func TestScanFindsWhatIsOpen(t *testing.T) {
	b := here(t)
	port := b.task.Egress.Port()
	b.task.Listening = []uint16{port}
	b.task.Ports = []uint16{port}
	if got := podPorts(t.Context(), b); got.Outcome != Held {
		t.Errorf("only the one that is meant to be: %+v", got)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	b.task.Listening = append(b.task.Listening, listener.Addr().(*net.TCPAddr).AddrPort().Port())
	if got := podPorts(t.Context(), b); got.Outcome != Breach {
		t.Errorf("another one as well: %+v", got)
	}
}

func TestSecretsAreFound(t *testing.T) {
	b := here(t)
	b.task.Secrets = []string{"abcdefghijklmnopqrstuvwxyz-secret"}
	path := filepath.Join(t.TempDir(), "file")
	text := strings.Repeat("x", 300<<10) + b.task.Secrets[0] // across the edge of a buffer
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := contains(path, b.task.Secrets); err != nil || got != b.task.Secrets[0] {
		t.Errorf("contains: %q %v", got, err)
	}
	if got := b.searchProc("cmdline", "no such text anywhere"); got.Outcome != Incomplete {
		t.Errorf("without its control: %+v", got)
	}
	b.task.Secrets = []string{filepath.Base(os.Args[0])}
	if got := b.searchProc("cmdline", "test"); got.Outcome != Breach {
		t.Errorf("a secret in this process's arguments: %+v", got)
	}
}

func TestParseRoute(t *testing.T) {
	prefix, err := parseRoute("0000590A", "00FFFFFF")
	if err != nil || prefix != netip.MustParsePrefix("10.89.0.0/24") {
		t.Errorf("parseRoute: %v %v", prefix, err)
	}
	if prefix, err = parseRoute("00000000", "00000000"); err != nil || prefix.Bits() != 0 {
		t.Errorf("default route: %v %v", prefix, err)
	}
	if _, err := parseRoute("zz", "00"); err == nil {
		t.Error("a destination that is no number is taken")
	}
}

func TestListening(t *testing.T) {
	table := "  sl  local_address rem_address   st\n   0: 0100007F:22B8 00000000:0000 0A 0\n   1: 0200590A:238B 0300590A:9999 01 0\n"
	ports, err := listening(table)
	if err != nil || !slices.Equal(ports, []uint16{8888}) {
		t.Errorf("listening: %v %v", ports, err)
	}
}

func TestMarksAreFoundInRequests(t *testing.T) {
	b := here(t)
	first, second := b.mark(), b.mark()
	r := request{path: "/open/%2e%2e/" + first + "?x", raw: "GET http://h/" + second + " HTTP/1.1\r\n"}
	if got := b.marksIn(r); !slices.Equal(got, []string{first, second}) {
		t.Errorf("marks %q, want %q", got, []string{first, second})
	}
}

// TestGate tells a call that was refused at the gate from one that failed behind it.
func TestGate(t *testing.T) {
	if got := refuseCalls(call{"refused", func() error { return unix.EPERM }}); got.Outcome != Held {
		t.Errorf("refused: %+v", got)
	}
	for _, err := range []error{nil, unix.EINVAL, unix.ENOENT, unix.EBUSY} {
		if got := refuseCalls(call{"let in", func() error { return err }}); got.Outcome != Breach {
			t.Errorf("let in with %v: %+v", err, got)
		}
	}
}
