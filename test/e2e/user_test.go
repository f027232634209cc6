//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// upstreamHost is where the tests' upstream listens, as a route names it.
const upstreamHost = "upstream.test:8443"

// withToken is the part of a route that injects E2E_TOKEN.
const withToken = "      auth: {scheme: Bearer, token_ref: E2E_TOKEN}\n"

// route is front matter that lets the tests' upstream be reached, with more of
// the route's keys. Its documentation address is a special-purpose one, which the
// firewall has to be told to dial.
func route(more string) string {
	return fmt.Sprintf("egress:\n  routes:\n    - host: %s\n      pipelock: {ssrf_ip_allowlist: [203.0.113.0/24]}\n%s", upstreamHost, more)
}

// user is a podbottle user with a tree of his own, whose bottles have the
// built-in firewall.
type user struct {
	*tree
	t *testing.T
}

// newUser makes a user without manifests. At the end of the test his bottles are
// removed and the host must be as it was.
func newUser(t *testing.T, env ...string) *user {
	t.Helper()
	leavesNothing(t)
	u := &user{newTree(t, map[string]string{"config.yaml": "firewall: {engine: builtin}\n"}), t}
	u.env = env
	if err := os.Mkdir(filepath.Join(u.root, "agents"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.must("cleanup", "--all", "--yes") })
	return u
}

// write puts a file into the tree.
func (u *user) write(name, content string) {
	u.t.Helper()
	writeFile(u.t, filepath.Join(u.root, name), content)
}

// bottle defines a bottle and an agent of the same name: a command in the test
// image, and further front matter.
func (u *user) bottle(name, command, more string) {
	u.t.Helper()
	u.write("bottles/"+name+".md", fmt.Sprintf("---\nagent_provider: {template: command, image: %q, command: %s}\n%s\n---\n", agentImage, command, more))
	u.write("agents/"+name+".md", "---\nbottle: "+name+"\n---\nA test.\n")
}

// run runs podbottle to its end.
func (u *user) run(args ...string) result {
	u.t.Helper()
	return u.podbottle(args...).run(u.t)
}

// input runs podbottle with something on its standard input.
func (u *user) input(stdin string, args ...string) result {
	u.t.Helper()
	cmd := u.podbottle(args...)
	cmd.stdin = stdin
	return cmd.run(u.t)
}

// must runs podbottle, which must succeed, and returns its standard output, trimmed.
func (u *user) must(args ...string) string {
	u.t.Helper()
	return strings.TrimSpace(u.podbottle(args...).succeed(u.t))
}

// start starts a detached bottle and returns its slug.
func (u *user) start(agent string, args ...string) string {
	u.t.Helper()
	return u.must(append([]string{"start", agent, "--detach", "--yes"}, args...)...)
}

// inside runs a shell command beside the agent.
func (u *user) inside(slug, script string) result {
	u.t.Helper()
	return u.run("exec", slug, "--", "bash", "-c", script)
}

// states lists the bottles with a directory in the state tree.
func (u *user) states() []string {
	u.t.Helper()
	entries, err := os.ReadDir(filepath.Join(u.root, "state"))
	if err != nil && !os.IsNotExist(err) {
		u.t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// nothingLeft fails the test unless the host is as before and no state is left.
func (u *user) nothingLeft(before objects) {
	u.t.Helper()
	if diff := cmp.Diff(before, hostObjects(u.t)); diff != "" {
		u.t.Errorf("left on the host (-before +after):\n%s", diff)
	}
	if states := u.states(); len(states) > 0 {
		u.t.Errorf("state of %v is left", states)
	}
}

// wants fails the test unless text holds every part.
func wants(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in:\n%s", part, text)
		}
	}
}
