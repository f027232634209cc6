package pod

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/containers/podman/v5/pkg/domain/entities/types"
)

func TestObserved(t *testing.T) {
	proc := t.TempDir()
	for path, content := range map[string]string{
		"7/comm": "conmon\n", "1/comm": "systemd\n",
		"20/status": "Name:\tsleep\nPid:\t20\nPPid:\t7\n",
		"21/status": "Name:\tsleep\nPid:\t21\nPPid:\t1\n",
		"22/status": "Name:\tsleep\nPid:\t22\nPPid:\t99\n",
	} {
		path = filepath.Join(proc, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for pid, want := range map[int]string{
		20: "running",
		21: stateUnmonitored,
		22: "running", // its parent went away between the two looks: not known
		23: stateLost,
	} {
		if got := observed(proc, pid); got != want {
			t.Errorf("process %d is %s, want %s", pid, got, want)
		}
	}
}

// Only what Podman takes to be running is looked at.
func TestStateOf(t *testing.T) {
	for _, container := range []types.ListContainer{{State: "exited"}, {State: "created"}, {State: "exited", Pid: 1}, {State: "running"}} {
		if got := stateOf(container); got != container.State {
			t.Errorf("%+v became %s", container, got)
		}
	}
}

func TestStatus(t *testing.T) {
	tests := []struct {
		agent, egress, want string
	}{
		{"running", "running", "running"},
		{"running", "exited", "degraded"},
		{"running", stateLost, "degraded"},
		{"running", stateUnmonitored, "degraded"},
		{stateUnmonitored, "running", "degraded"},
		{stateLost, "running", "stopped"},
		{"exited", "running", "stopped"},
		{"created", "running", "starting"},
		{"", "running", "starting"},
	}
	for _, test := range tests {
		if got := status(map[string]string{"agent": test.agent, "egress": test.egress}); got != test.want {
			t.Errorf("agent %s, egress %s: %s, want %s", test.agent, test.egress, got, test.want)
		}
	}
}
