//go:build e2e

package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// imageNames are the names of all images.
func imageNames(t *testing.T) []string {
	t.Helper()
	return lines(podman(t, "images", "--format", "{{.Repository}}:{{.Tag}}"))
}

// A bottle's own Containerfile is built once: the image goes with the bottle, its
// layers stay for the next, until cleanup --images.
func TestOwnContainerfile(t *testing.T) {
	u := newUser(t)
	file := filepath.Join(u.cwd, "Containerfile")
	writeFile(t, file, "FROM "+agentImage+"\nRUN head -c 16 /dev/urandom | base64 > /home/node/built\n")
	u.write("bottles/own.md", "---\nagent_provider: {template: command, dockerfile: "+file+", command: [bash]}\n---\n")
	u.write("agents/own.md", "---\nbottle: own\n---\n")
	before := imageNames(t)

	var built []string
	for range 2 {
		slug := u.start("own")
		if !slices.Contains(imageNames(t), "localhost/bot-bottle-command:"+slug) {
			t.Errorf("images: %v", imageNames(t))
		}
		built = append(built, u.inside(slug, "cat ~/built").stdout)
		u.must("stop", "--discard", slug)
	}
	if built[0] == "" || built[0] != built[1] {
		t.Errorf("two starts built %q", built)
	}
	kept := slices.DeleteFunc(imageNames(t), func(name string) bool {
		return slices.Contains(before, name) || strings.HasPrefix(name, "localhost/podbottle-sidecar:")
	})
	if len(kept) != 1 || !strings.HasPrefix(kept[0], "localhost/podbottle-cache:") {
		t.Errorf("kept after the bottles: %v", kept)
	}

	u.must("cleanup", "--images", "--yes")
	for _, name := range imageNames(t) {
		if strings.HasPrefix(name, "localhost/podbottle-") && !slices.Contains(before, name) {
			t.Errorf("cleanup --images left %s", name)
		}
	}
	u.must("stop", "--discard", u.start("own")) // what is gone is made again
}

// What the builder says of a build that fails is printed once, and does not reach the
// terminal as what it is.
func TestFailingBuildIsShownOnce(t *testing.T) {
	u := newUser(t)
	file := filepath.Join(u.cwd, "Containerfile")
	writeFile(t, file, "FROM "+agentImage+"\nRUN printf '%s\\033[31m%s\\n' broken here >&2; exit 3\n")
	u.write("bottles/own.md", "---\nagent_provider: {template: command, dockerfile: "+file+", command: [bash]}\n---\n")
	u.write("agents/own.md", "---\nbottle: own\n---\n")
	r := u.run("start", "own", "--detach", "--yes")
	if r.status != 125 || strings.Count(r.stderr, "broken<ESC>[31mhere") != 1 || strings.Contains(r.stderr, "\x1b") {
		t.Errorf("start: %v", r)
	}
	wants(t, r.stderr, "cannot be built", "exit status 3")
	if r := u.run("verify", "own"); r.status != 125 || strings.Count(r.stderr, "broken<ESC>[31mhere") != 1 || strings.Contains(r.stderr, "\x1b") {
		t.Errorf("verify: %v", r)
	}
}
