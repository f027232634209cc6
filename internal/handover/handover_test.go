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
