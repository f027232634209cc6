//go:build e2e && reboot

package e2e

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The two tests of this file are one test with a reboot of the host in its middle:
// make e2e-reboot runs them. What has to outlive the reboot is in the home directory.

const (
	rebootUnit  = "e2e-boot"
	rebootNotes = "notes.txt"
)

// rebootTree is the tree of both halves: a bottle of systemd and a live one, each
// of which reaches a plain server of the host.
func rebootTree(t *testing.T) *tree {
	t.Helper()
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(home, "reboot-test")
	return &tree{root: filepath.Join(dir, "bot-bottle"), cwd: dir}
}

// serveHTTP answers every request on the upstream's port 80 with "upstream".
func serveHTTP(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", upstreamIP+":80")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "upstream") }),
		ReadHeaderTimeout: 10 * time.Second,
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
}

// checkWayOut wants the bottle to reach its one host and nothing else.
func checkWayOut(t *testing.T, tr *tree, slug string) {
	t.Helper()
	if got := tr.inBottle(t, slug, "curl -sS --max-time 60 http://upstream.test/"); got != "upstream\n" {
		t.Errorf("%s: the host that is listed: %q", slug, got)
	}
	if got := tr.inBottle(t, slug, "curl -sS --max-time 60 http://denied.test/"); !strings.Contains(got, "host-not-allowed") {
		t.Errorf("%s: a host that is not listed: %q", slug, got)
	}
	if got := tr.inBottle(t, slug, "curl -sS --noproxy '*' --max-time 30 http://"+upstreamIP+"/"); !strings.Contains(got, "connect") {
		t.Errorf("%s: a literal address: %q", slug, got)
	}
}

// stopsDir holds what docs/reliability.md advises against a shutdown that waits for
// pasta: it is ended first, and Podman, which takes the network of a live bottle
// down, starts it again in the scope of a conmon, where nobody ends it.
func stopsDir(t *testing.T) string {
	t.Helper()
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(home, ".config/systemd/user/libpod-conmon-.scope.d")
}

func shortenStops(t *testing.T) {
	t.Helper()
	writeFile(t, filepath.Join(stopsDir(t), "timeout.conf"), "[Scope]\nTimeoutStopSec=10s\n")
	command{argv: []string{"systemctl", "--user", "daemon-reload"}}.succeed(t)
}

// checkShortStops wants systemd to have read it for the scopes of the live bottle.
func checkShortStops(t *testing.T) {
	t.Helper()
	scopes := lines(command{argv: []string{"systemctl", "--user", "show", "libpod-conmon-*.scope", "--property=TimeoutStopUSec", "--value"}}.succeed(t))
	scopes = slices.DeleteFunc(scopes, func(line string) bool { return line == "" })
	if len(scopes) == 0 || slices.ContainsFunc(scopes, func(line string) bool { return line != "10s" }) {
		t.Errorf("the scopes of live containers are waited for: %q", scopes)
	}
}

func TestBeforeReboot(t *testing.T) {
	tr := rebootTree(t)
	writeFile(t, filepath.Join(tr.root, "agents/worker.md"), "---\nbottle: web\n---\nYou work.\n")
	writeFile(t, filepath.Join(tr.root, "bottles/web.md"), `---
agent_provider: {template: command, image: `+agentImage+`, command: [bash]}
egress:
  routes:
    - host: upstream.test
      pipelock: {ssrf_ip_allowlist: [203.0.113.0/24]}
---
`)
	serveHTTP(t)
	shortenStops(t)
	tr.podbottle("quadlet", "install", "worker", "--name", rebootUnit, "--firewall=builtin", "--yes", "--now").succeed(t)
	live := tr.podbottle("start", "worker", "--firewall=builtin", "--detach", "--yes").succeed(t)
	writeFile(t, filepath.Join(tr.cwd, "live"), live)
	checkShortStops(t)
	for _, slug := range []string{rebootUnit, live} {
		checkWayOut(t, tr, slug)
		tr.inBottle(t, slug, "echo written before > ~/"+rebootNotes+"; sync")
	}
	tr.inBottle(t, live, "head -c 300000 /dev/urandom > ~/data; ln -s data ~/link; mkdir -m 711 ~/dir; sync")
	writeFile(t, filepath.Join(tr.cwd, "home"), tr.inBottle(t, live, everything))
}

func TestAfterReboot(t *testing.T) {
	tr := rebootTree(t)
	live := readFile(t, filepath.Join(tr.cwd, "live"))
	t.Cleanup(func() {
		tr.podbottle("quadlet", "uninstall", rebootUnit, "--yes").succeed(t)
		tr.podbottle("cleanup", "--all", "--yes").succeed(t)
		if err := errors.Join(os.RemoveAll(tr.cwd), os.RemoveAll(stopsDir(t))); err != nil {
			t.Error(err)
		}
	})
	serveHTTP(t)

	// Nobody logs in and nobody starts it.
	eventually(t, "the units are up again", func() bool {
		r := tr.podbottle("quadlet", "list", "--format", "{{.Name}} {{.Active}}").run(t)
		return r.stdout == rebootUnit+" active\n"
	})
	checkWayOut(t, tr, rebootUnit)

	if r := tr.podbottle("cleanup", "--yes").run(t); r.status != 0 {
		t.Errorf("cleanup: %+v", r)
	}
	tr.podbottle("resume", live, "--detach", "--yes").succeed(t)
	checkWayOut(t, tr, live)
	for _, slug := range []string{rebootUnit, live} {
		if got := tr.inBottle(t, slug, "cat ~/"+rebootNotes); got != "written before\n" {
			t.Errorf("%s: the agent's file is now %q", slug, got)
		}
	}
	if before, after := readFile(t, filepath.Join(tr.cwd, "home")), tr.inBottle(t, live, everything); before != after {
		t.Errorf("the agent's home was\n%s\nand is\n%s", before, after)
	}
}
