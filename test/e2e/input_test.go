//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Every failure is one clear line, status 125, and leaves nothing.
func TestBadInput(t *testing.T) {
	u := newUser(t)
	u.bottle("fixer", "[bash]", "")
	u.bottle("notoken", "[bash]", route("      auth: {scheme: Bearer, token_ref: NOT_SET_ANYWHERE}\n"))
	u.bottle("noprogram", "[no-such-program]", "")
	u.bottle("badkey", "[bash]", "egres: {}")
	u.write("agents/malformed.md", "---\nbottle: [\n---\n")
	u.write("agents/nobottle.md", "---\nbottle: nowhere\n---\n")
	u.write("bottles/noimage.md", "---\nagent_provider: {template: command, image: 'localhost/no-such-image:1', command: [bash]}\n---\n")
	u.write("agents/noimage.md", "---\nbottle: noimage\n---\n")
	before := hostObjects(t)
	tests := []struct {
		name string
		args []string
		want []string
	}{
		{"unknown agent", []string{"start", "nobody", "--yes"}, []string{"nobody", "fixer"}},
		{"unknown bottle", []string{"start", "nobottle", "--yes"}, []string{"nowhere", "fixer"}},
		{"malformed front matter", []string{"start", "malformed", "--yes"}, []string{"malformed.md:"}},
		{"unknown key", []string{"start", "badkey", "--yes"}, []string{"badkey.md:3", "egres", "egress"}},
		{"variable unset", []string{"start", "notoken", "--yes"}, []string{"NOT_SET_ANYWHERE"}},
		{"image missing", []string{"start", "noimage", "--yes"}, []string{"localhost/no-such-image:1"}},
		{"program missing", []string{"start", "noprogram", "--yes"}, []string{"no-such-program"}},
		{"no terminal", []string{"start", "fixer"}, []string{"--yes"}},
		{"unknown firewall", []string{"start", "fixer", "--yes", "--firewall", "none"}, []string{"pipelock or builtin"}},
		{"pipelock not to be had", []string{"start", "fixer", "--yes", "--firewall", "pipelock"}, []string{"firewall.binary", "--firewall=builtin"}},
		{"unknown runtime", []string{"start", "fixer", "--yes", "--runtime", "kata"}, []string{"runsc or crun"}},
		{"unknown slug", []string{"attach", "nothing-here"}, []string{"podbottle list"}},
		{"nothing to resume", []string{"resume", "nothing-here", "--yes"}, []string{"nothing-here"}},
		{"unknown command", []string{"strat", "fixer"}, []string{"start"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := u.run(test.args...)
			if r.status != 125 || r.stdout != "" {
				t.Errorf("%v", r)
			}
			wants(t, r.stderr, append(test.want, "Error: ")...)
		})
	}
	u.nothingLeft(before)
}

func TestContainerNameTaken(t *testing.T) {
	u := newUser(t, "BOT_BOTTLE_CONTAINER=e2e-pinned")
	u.bottle("fixer", "[bash]", "")
	slug := u.start("fixer")
	r := u.run("start", "fixer", "--detach", "--yes")
	if r.status != 125 {
		t.Errorf("%v", r)
	}
	wants(t, r.stderr, "e2e-pinned", "podman rm -f")
	u.must("stop", "--discard", slug)
}

// Without runsc the preflight says that the kernel is shared, and --require-runsc refuses.
func TestWithoutRunsc(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "containers.conf")
	if err := os.WriteFile(conf, []byte("[engine.runtimes]\nrunsc = []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir() // PATH without the directory that holds runsc
	for _, program := range []string{"podbottle", "podbottle-sidecar"} {
		path, err := exec.LookPath(program)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bin, program)); err != nil {
			t.Fatal(err)
		}
	}
	u := newUser(t, "CONTAINERS_CONF_OVERRIDE="+conf, "PATH="+bin+":/usr/bin:/bin")
	u.bottle("fixer", "[bash]", "")
	r := u.run("start", "fixer", "--dry-run")
	if r.status != 0 {
		t.Fatal(r)
	}
	wants(t, r.stderr, "crun: the agent shares this machine's kernel")
	r = u.run("start", "fixer", "--yes", "--require-runsc")
	if r.status != 125 {
		t.Errorf("%v", r)
	}
	wants(t, r.stderr, "runsc is not installed")
}

// With no API socket podbottle starts a service of its own, and ends it.
func TestWithoutSocket(t *testing.T) {
	u := newUser(t)
	u.bottle("fixer", "[bash]", "")
	systemctl := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("systemctl", append([]string{"--user"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("systemctl %v: %v %s", args, err, out)
		}
	}
	systemctl("stop", "podman.socket", "podman.service")
	defer systemctl("start", "podman.socket")
	r := u.run("start", "fixer", "--headless", "--prompt", "echo worked", "--yes")
	if r.status != 0 || r.stdout != "worked\n" {
		t.Errorf("%v", r)
	}
	if left := hostObjects(t)["runtime file"]; len(left) > 0 {
		t.Errorf("left in the runtime directory: %v", left)
	}
}

func TestUnsuitablePodman(t *testing.T) {
	u := newUser(t)
	for host, want := range map[string]string{"ssh://a/b": "not a unix socket", "unix:///nowhere.sock": "does not answer"} {
		cmd := u.podbottle("list")
		cmd.env = append(cmd.env, "CONTAINER_HOST="+host)
		r := cmd.run(t)
		if r.status != 125 || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: %v", host, r)
		}
	}
}

func TestDoctor(t *testing.T) {
	u := newUser(t)
	r := u.run("doctor")
	if r.status != 0 {
		t.Fatal(r)
	}
	wants(t, r.stdout, "a container ran under it", "netavark")
	wants(t, u.must("doctor", "--format", "json"), `"status": "ok"`)
	r = u.run("doctor", "--firewall", "pipelock")
	if r.status != 0 {
		t.Errorf("an image that the first start pulls makes the host unfit: %v", r)
	}
	wants(t, r.stdout, "warn", "to mend it", "firewall.binary")
}

// A runtime directory on a disk would keep secrets there: it is refused before anything is written.
func TestRuntimeDirectoryOnDisk(t *testing.T) {
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(home, "runtime-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	u := newUser(t)
	u.bottle("fixer", "[bash]", route(withToken))
	before := hostObjects(t)
	start := u.podbottle("start", "fixer", "--detach", "--yes")
	start.env = append(start.env, "XDG_RUNTIME_DIR="+dir, "E2E_TOKEN="+token, "CONTAINER_HOST=unix://"+os.Getenv("XDG_RUNTIME_DIR")+"/podman/podman.sock")
	r := start.run(t)
	if r.status != 125 || r.stdout != "" {
		t.Errorf("%v", r)
	}
	wants(t, r.stderr, dir, "is on a disk", "XDG_RUNTIME_DIR")
	if got := (command{argv: []string{"grep", "-rl", token, dir}}).run(t).stdout; got != "" {
		t.Errorf("the token is in %s", got)
	}
	u.nothingLeft(before)
}
