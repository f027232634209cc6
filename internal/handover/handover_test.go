package handover

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestMergeEnv(t *testing.T) {
	got := mergeEnv([]string{"A=1", "B=2"}, []string{"B=3", "C=4", "", "broken"})
	if !slices.Equal(got, []string{"A=1", "B=3", "C=4"}) {
		t.Errorf("merged: %q", got)
	}
}

func TestLoadEnvKeepsLineBreaks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(path, []byte("KEY=a\nb\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	env, err := loadEnv(path, []string{"KEY=old"})
	if err != nil || !slices.Equal(env, []string{"KEY=a\nb"}) {
		t.Errorf("%q, %v", env, err)
	}
}

func TestNoDefaultRoute(t *testing.T) {
	const header = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
	const local = "int0\t0000590A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
	const everywhere = "up0\t00000000\t0100590A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
	for text, wanted := range map[string]bool{header + local: true, header + local + everywhere: false} {
		path := filepath.Join(t.TempDir(), "route")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := noDefaultRoute(path); (err == nil) != wanted {
			t.Errorf("%q: %v", text, err)
		}
	}
	if noDefaultRoute("/does/not/exist") == nil {
		t.Error("an unreadable routing table passes as isolation")
	}
}

func TestReachableAddressIsRefused(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := unreachable(context.Background(), "tcp", listener.Addr().String()); err == nil {
		t.Error("an address that answers passes as unreachable")
	}
	closed := listener.Addr().String()
	_ = listener.Close()
	if err := unreachable(context.Background(), "tcp", closed); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("an address that refuses passes as unreachable: %v", err)
	}
}

func TestCopyHome(t *testing.T) {
	src, home, outside := t.TempDir(), t.TempDir(), t.TempDir()
	write := func(path, text string, mode os.FileMode) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(src, "a", "b"), "new", 0o644)
	write(filepath.Join(src, "tool"), "x", 0o755)
	write(filepath.Join(home, "a", "b"), "old", 0o600)

	if err := copyHome(src, home, false); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(filepath.Join(home, "a", "b")); string(text) != "old" {
		t.Errorf("a file that was to be kept is %q", text)
	}
	if err := copyHome(src, home, true); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(filepath.Join(home, "a", "b")); string(text) != "new" {
		t.Errorf("a file that was to be replaced is %q", text)
	}
	if info, _ := os.Stat(filepath.Join(home, "tool")); info.Mode().Perm() != 0o700 {
		t.Errorf("an executable has mode %v", info.Mode())
	}

	// What the agent left behind must not lead the copy out of its home.
	if err := os.RemoveAll(filepath.Join(home, "a")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(home, "a")); err != nil {
		t.Fatal(err)
	}
	if err := copyHome(src, home, true); err == nil {
		t.Error("a directory that is a symbolic link out of home was followed")
	}
	if entries, _ := os.ReadDir(outside); len(entries) > 0 {
		t.Errorf("written outside of home: %v", entries)
	}
	if err := copyHome(filepath.Join(src, "absent"), home, true); err != nil {
		t.Errorf("without files to hand over: %v", err)
	}
}
