//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// unitDir is where Quadlet reads the units of a bottle.
func unitDir(t testing.TB, name string) string {
	t.Helper()
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(home, ".config/containers/systemd/podbottle-"+name)
}

func TestUnitsWithWrongInput(t *testing.T) {
	leavesNothing(t)
	const name = "e2e-wrong"
	tr := unitTree(t, startUpstream(t, upstreamIP+":443", nil))
	writeFile(t, filepath.Join(tr.root, "config.yaml"), "firewall: {engine: builtin}\n")
	writeFile(t, filepath.Join(tr.root, "agents/other.md"), "---\nbottle: other\n---\nYou work.\n")
	writeFile(t, filepath.Join(tr.root, "bottles/other.md"), "---\nagent_provider: {template: command, image: 'localhost/no-such-image:1', command: [bash]}\n---\n")

	values := tr.env
	tests := []struct {
		name string
		args []string
		env  []string
		says string
	}{
		{"an unknown agent", []string{"install", "nobody", "--yes"}, values, `no agent "nobody"`},
		{"two agents", []string{"install", "worker", "other", "--yes"}, values, "one agent"},
		{"nobody to ask", []string{"install", "worker"}, values, "--yes"},
		{"a value that is missing", []string{"install", "worker", "--yes"}, nil, "UNIT_PASSWORD is not set"},
		{"a token that is missing", []string{"install", "worker", "--yes"}, []string{"UNIT_PASSWORD=x"}, "UNIT_TOKEN is not set"},
		{"an image that is nowhere", []string{"install", "other", "--yes"}, values, "localhost/no-such-image:1"},
		{"the name of a part", []string{"install", "worker", "--yes", "--name", "x-egress"}, values, "say --name"},
		{"no calendar event", []string{"generate", "worker", "--headless", "-p", "x", "--on-calendar", "Mon..Foo 25:99"}, values, "is not a calendar event: Failed to parse"},
		{"no name", []string{"start"}, values, "podbottle quadlet list"},
		{"a name outside of the tree", []string{"uninstall", "../x", "--yes"}, values, "is not the slug"},
	}
	for _, verb := range []string{"start", "stop", "restart", "status", "logs", "diff", "refresh", "uninstall"} {
		tests = append(tests, struct {
			name string
			args []string
			env  []string
			says string
		}{verb + " of a bottle that is not installed", []string{verb, name}, values, "is not installed as units; podbottle quadlet list"})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr.env = tt.env
			r := tr.podbottle(append([]string{"quadlet"}, tt.args...)...).run(t)
			if r.status != 125 || !strings.Contains(r.stderr, tt.says) {
				t.Errorf("status %d, %s", r.status, r.stderr)
			}
			left, err := filepath.Glob(filepath.Join(tr.root, "state", "*"))
			if _, missing := os.Stat(unitDir(t, "worker")); err != nil || len(left) > 0 || missing == nil {
				t.Errorf("left: %q and units %v", left, missing)
			}
		})
	}

	tr.env = values
	stateOf := func(slug string) string {
		t.Helper()
		return command{argv: []string{"bash", "-c", `cd "$1" && find . -type f -exec sha256sum {} + | sort -k2`, "-", filepath.Join(tr.root, "state", slug)}}.succeed(t)
	}
	t.Run("the name of a bottle that is kept", func(t *testing.T) {
		slug := tr.podbottle("start", "worker", "--detach", "--yes").succeed(t)
		t.Cleanup(func() { tr.podbottle("stop", "--discard", slug).succeed(t) })
		tr.podbottle("stop", slug).succeed(t)
		before := stateOf(slug)
		for _, verb := range []string{"install", "generate"} {
			r := tr.podbottle("quadlet", verb, "other", "--name", slug).run(t)
			if r.status != 125 || r.stdout != "" || !strings.Contains(r.stderr, "there is a bottle "+slug+" already") {
				t.Errorf("%s: %v", verb, r)
			}
		}
		if after := stateOf(slug); after != before {
			t.Errorf("the state was\n%s\nand is\n%s", before, after)
		}
	})

	tr.install(t, name)
	t.Run("what is not installed again", func(t *testing.T) {
		before := stateOf(name)
		r := tr.podbottle("quadlet", "install", "worker", "--name", name, "--label", "mine").run(t)
		wants(t, r.stderr, "no terminal to ask on")
		r = tr.podbottle("quadlet", "generate", "worker", "--name", name, "--label", "mine").run(t)
		wants(t, r.stderr, "is installed", "podbottle quadlet diff "+name)
		tr.podbottle("quadlet", "diff", name).succeed(t)
		if after := stateOf(name); after != before {
			t.Errorf("the state was\n%s\nand is\n%s", before, after)
		}
	})
	tr.env = nil // from here on as in another shell
	t.Run("a name that is taken", func(t *testing.T) {
		r := tr.podbottle("quadlet", "install", "other", "--name", name, "--yes").run(t)
		wants(t, r.stderr, "is installed for the agent worker", "podbottle quadlet uninstall "+name)
	})
	t.Run("a service that is not there", func(t *testing.T) {
		r := tr.podbottle("quadlet", "logs", name, "--service", "nope").run(t)
		wants(t, r.stderr, "no service nope; it has pod, ", "supervise")
	})
	t.Run("diff", func(t *testing.T) {
		diff := func(status int, parts ...string) {
			t.Helper()
			r := tr.podbottle("quadlet", "diff", name).run(t)
			if r.status != status || strings.Contains(r.stdout, "\x1b") || status == 0 && r.stdout != "" {
				t.Errorf("status %d\n%q%s", r.status, r.stdout, r.stderr)
			}
			wants(t, r.stdout, parts...)
		}
		diff(0)
		manifest := filepath.Join(tr.root, "bottles/web.md")
		before := readFile(t, manifest)
		writeFile(t, manifest, strings.Replace(before, "path_allowlist: [/v1/]", "path_allowlist: [/v2/]", 1))
		diff(1, "-      - /v1/", "+      - /v2/", "manifest/files/egress/config/")
		writeFile(t, manifest, before)
		writeFile(t, filepath.Join(tr.root, "agents/worker.md"), "---\nbottle: web\n---\nYou work \x1b]0;owned\x07.\n")
		diff(1, "+You work <ESC>]0;owned<U+0007>.")
		writeFile(t, filepath.Join(tr.root, "agents/worker.md"), "---\nbottle: web\n---\nYou work.\n")
		diff(0)
	})
	t.Run("a drop-in", func(t *testing.T) {
		dir := filepath.Join(filepath.Dir(unitDir(t, name)), "bot-bottle-"+name+"-agent.container.d")
		writeFile(t, filepath.Join(dir, "stop.conf"), "[Service]\nTimeoutStopSec=77\n")
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		tr.env = values
		tr.podbottle("quadlet", "install", "worker", "--name", name, "--firewall=builtin", "--yes").succeed(t)
		tr.env = nil
		show := command{argv: []string{"systemctl", "--user", "show", "bot-bottle-" + name + "-agent.service", "--property=TimeoutStopUSec"}}
		wants(t, show.succeed(t), "1min 17s")
		if r := tr.podbottle("quadlet", "diff", name).run(t); r.status != 0 {
			t.Errorf("diff: %v", r)
		}
	})
	t.Run("a unit that was edited", func(t *testing.T) {
		unit := filepath.Join(unitDir(t, name), "bot-bottle-"+name+"-egress.container")
		writeFile(t, unit, readFile(t, unit)+"CPUQuota=10%\n")
		r := tr.podbottle("quadlet", "diff", name).run(t)
		wants(t, r.stdout, "-CPUQuota=10%")
		refresh := tr.podbottle("quadlet", "refresh", name)
		refresh.env = append(slices.Clone(refresh.env), values...)
		if r := refresh.run(t); r.status != 125 || !strings.Contains(r.stderr, "podbottle quadlet diff "+name) {
			t.Errorf("refresh: %v", r)
		}
	})
	t.Run("a unit that is gone", func(t *testing.T) {
		if err := os.Remove(filepath.Join(unitDir(t, name), "bot-bottle-"+name+"-supervise.container")); err != nil {
			t.Fatal(err)
		}
		command{argv: []string{"systemctl", "--user", "daemon-reload"}}.succeed(t)
		r := tr.podbottle("quadlet", "start", name).run(t)
		if r.status != 125 || !strings.Contains(r.stderr, "systemd has no bot-bottle-"+name+"-supervise.service (not-found)") {
			t.Errorf("start: %v", r)
		}
		wants(t, tr.podbottle("quadlet", "status", name).succeed(t), "not-found  inactive", "UNIT")
		if got := podman(t, "ps", "--all", "--quiet"); got != "" {
			t.Errorf("containers of a bottle that cannot be whole: %s", got)
		}
	})
	t.Run("state that is gone", func(t *testing.T) {
		if err := os.RemoveAll(filepath.Join(tr.root, "state", name)); err != nil {
			t.Fatal(err)
		}
		if got := tr.podbottle("quadlet", "list", "--format", "{{.Name}}").succeed(t); got != "" {
			t.Errorf("quadlet list: %q", got)
		}
		tr.podbottle("quadlet", "uninstall", name, "--yes").succeed(t)
		if _, err := os.Stat(unitDir(t, name)); !os.IsNotExist(err) {
			t.Errorf("units are left: %v", err)
		}
	})
}
