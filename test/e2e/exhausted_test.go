//go:build e2e

package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// startPodman runs an API service of the test's own until the test ends: argv ends
// where the socket's URL follows. It returns what CONTAINER_HOST is then.
func startPodman(t *testing.T, dir string, env []string, argv ...string) string {
	t.Helper()
	socket := filepath.Join(dir, "podman.sock")
	cmd := exec.Command(argv[0], append(argv[1:], "unix://"+socket)...)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	eventually(t, strings.Join(argv, " ")+" answers", func() bool {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return "unix://" + socket
}

// A disk that fills up while an image is built is one line, and leaves nothing on it.
func TestDiskFullWhileBuilding(t *testing.T) {
	u := newUser(t)
	dir := t.TempDir()
	const script = `mkdir "$1/images" && mount -t tmpfs -o size=64m tmpfs "$1/images" &&
exec podman --root "$1/images" --runroot "$1/run" --tmpdir "$1/tmp" system service --time=0 "$2"`
	host := startPodman(t, dir, nil, "podman", "unshare", "sh", "-c", script, "sh", dir)
	file := filepath.Join(u.cwd, "Containerfile")
	writeFile(t, file, "FROM scratch\nCOPY large /\n")
	writeFile(t, filepath.Join(u.cwd, "large"), strings.Repeat("x", 80<<20))
	u.write("bottles/own.md", "---\nagent_provider: {template: command, dockerfile: "+file+", command: [bash]}\n---\n")
	u.write("agents/own.md", "---\nbottle: own\n---\n")

	start := u.podbottle("start", "own", "--detach", "--yes")
	start.env = append(start.env, "CONTAINER_HOST="+host)
	r := start.run(t)
	if r.status != 125 || r.stdout != "" {
		t.Errorf("%v", r)
	}
	_, message, _ := strings.Cut(r.stderr, "Error: ")
	wants(t, message, "own", "is full", "podbottle cleanup --images")
	if strings.Contains(message, "copier") {
		t.Errorf("the builder's own words: %s", message)
	}
	if left := podman(t, "--url", host, "ps", "--all", "--external", "--quiet"); left != "" {
		t.Errorf("the builder's container is left: %s", left)
	}
	if states := u.states(); len(states) > 0 {
		t.Errorf("state of %v is left", states)
	}
}

// When Podman has no address range left, the start says so; what runs goes on, and
// a bottle that is stopped makes room.
func TestAddressesRunOut(t *testing.T) {
	u := newUser(t)
	u.bottle("fixer", "[bash]", "")
	dir := t.TempDir()
	conf := filepath.Join(dir, "containers.conf")
	writeFile(t, conf, "[network]\ndefault_subnet = \"10.201.0.0/24\"\ndefault_subnet_pools = [{base = \"10.202.0.0/23\", size = 24}]\n")
	host := startPodman(t, dir, []string{"CONTAINERS_CONF_OVERRIDE=" + conf}, "podman", "system", "service", "--time=0")
	u.env = append(u.env, "CONTAINER_HOST="+host)
	t.Cleanup(func() { u.env = nil }) // the last cleanup comes when this service has ended

	slug := u.start("fixer") // takes both ranges
	before := hostObjects(t)
	r := u.run("start", "fixer", "--detach", "--yes")
	if r.status != 125 {
		t.Errorf("%v", r)
	}
	wants(t, r.stderr, "-internal", "default_subnet_pools", "stop bottles")
	if states := u.states(); len(states) != 1 {
		t.Errorf("states: %v", states)
	}
	wants(t, u.inside(slug, "echo alive").stdout, "alive")
	if after := hostObjects(t); len(after["network"]) != len(before["network"]) || len(after["volume"]) != len(before["volume"]) {
		t.Errorf("left: %v, before %v", after, before)
	}
	u.must("stop", "--discard", slug)
	u.must("stop", "--discard", u.start("fixer"))
}

// A state tree that cannot be written to is named, and nothing is made.
func TestReadOnlyState(t *testing.T) {
	u := newUser(t)
	u.bottle("fixer", "[bash]", "")
	before := hostObjects(t)
	if err := os.Chmod(u.root, 0o500); err != nil { // #nosec G302 -- a directory
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(u.root, 0o700) }) // #nosec G302 -- a directory
	r := u.run("start", "fixer", "--detach", "--yes")
	if r.status != 125 || r.stdout != "" {
		t.Errorf("%v", r)
	}
	wants(t, r.stderr, filepath.Join(u.root, "state"), "permission denied", "BOT_BOTTLE_ROOT")
	u.must("list", "--all")
	u.nothingLeft(before)
}

// Of two podbottles that go on with one bottle one wins; the other says why and
// does no harm. Of two that stop it at least one succeeds.
func TestTwoOnOneBottle(t *testing.T) {
	u := newUser(t)
	u.bottle("fixer", "[bash]", "")
	before := hostObjects(t)
	slug := u.start("fixer")
	u.inside(slug, "echo work > ~/result")
	u.must("stop", slug)
	twice := func(args ...string) (results [2]result, won int) {
		var both [2]*running
		for i := range both {
			both[i] = u.podbottle(args...).start(t)
		}
		for i, r := range both {
			if results[i] = r.wait(); results[i].status == 0 {
				won++
			} else {
				wants(t, results[i].stderr, "Error: ", slug)
			}
		}
		return results, won
	}
	if results, won := twice("resume", slug, "--detach", "--yes"); won != 1 {
		t.Errorf("%d of two resumes succeeded: %v", won, results)
	}
	if r := u.inside(slug, "cat ~/result"); r.stdout != "work\n" {
		t.Errorf("%v", r)
	}
	if results, won := twice("stop", slug, "--discard"); won == 0 {
		t.Errorf("no stop succeeded: %v", results)
	}
	u.nothingLeft(before)
}
