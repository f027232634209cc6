//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// wantImage is a Containerfile that an agent asks for.
const wantImage = "FROM " + agentImage + "\nUSER root\nRUN echo built by podman > /built\nCOPY <<E /copied\nfrom a here-document\nE\nUSER node\n"

// askForImage proposes a Containerfile and returns the proposal's id.
func (u *user) askForImage(slug, containerfile string) (id string, answer <-chan string) {
	u.t.Helper()
	arguments, err := json.Marshal(map[string]string{"containerfile": containerfile, "justification": "a test"})
	if err != nil {
		u.t.Fatal(err)
	}
	answer = u.askFor(u.t, slug, "capability-block", string(arguments))
	return u.proposal(u.t), answer
}

// everything is a shell command that prints the content of an agent's home.
const everything = `cd ~ && find . -printf '%p %y %m %l\n' | sort && find . -type f -exec sha256sum {} + | sort`

// An agent asks for another image, gets it, and goes on where it was.
func TestCapabilityBlock(t *testing.T) {
	u := newUser(t)
	writeFile(t, filepath.Join(u.cwd, "project", "file"), "of the workspace\n")
	u.bottle("fixer", "[bash]", "supervise: true")
	screen := newScreen(t, u)
	screen.run("cd " + u.cwd + "; podbottle start fixer --cwd --yes; echo status=$?")
	screen.waitFor("node@fixer")
	slug := u.must("list", "-q")
	if r := u.inside(slug, "mkdir -p ~/.cache/x && head -c 300000 /dev/urandom > ~/.cache/x/data && echo changed >> ~/workspace/project/file && ln -s .cache/x ~/link"); r.status != 0 {
		t.Fatal(r)
	}
	before := u.inside(slug, everything)

	refused, _ := u.askForImage(slug, "FROM "+agentImage+"\nADD http://127.0.0.1/ /x\n")
	if r := u.run("approvals", "approve", refused, "--scope", "bottle"); r.status != 125 || !strings.Contains(r.stderr, "ADD is not taken") {
		t.Errorf("a build that fetches with the host's network was approved: %v", r)
	}
	u.must("approvals", "deny", refused)
	id, answer := u.askForImage(slug, wantImage)
	wants(t, u.must("approvals", "show", id), "+RUN echo built by podman > /built")
	u.must("approvals", "approve", id, "--scope", "bottle")
	wants(t, <-answer, "approved")
	screen.waitFor("A human approved another image for " + slug)
	screen.waitFor("status=75")
	wants(t, u.must("list", "--all", "--format", "{{.Slug}} {{.Status}}"), slug+" kept")

	screen.run("podbottle resume " + slug + " --yes; echo status=$?")
	eventually(t, "the agent is back", func() bool { return u.inside(slug, "true").status == 0 })
	if r := u.inside(slug, "cat /built /copied"); r.stdout != "built by podman\nfrom a here-document\n" {
		t.Errorf("the new image: %v", r)
	}
	after := u.inside(slug, everything+"; cat ~/.bot-bottle-containerfile >&2")
	if after.stderr != wantImage {
		t.Errorf("the agent is shown another recipe than its image's: %q", after.stderr)
	}
	own := func(r result) string { // without podbottle's own files, which follow the image
		var kept []string
		for _, line := range lines(r.stdout) {
			if !strings.Contains(line, ".bot-bottle-") {
				kept = append(kept, line)
			}
		}
		return strings.Join(kept, "\n")
	}
	if before.status != 0 || own(before) != own(after) {
		t.Errorf("the home was\n%s\nand is\n%s", own(before), own(after))
	}
}

// A headless session ends with a status of its own; an image that cannot be built
// costs nothing, and there is a way back.
func TestCapabilityBlockThatCannotBeBuilt(t *testing.T) {
	u := newUser(t)
	u.bottle("fixer", "[bash]", "supervise: true")
	headless := u.podbottle("start", "fixer", "--headless", "--prompt", "echo work > result; sleep infinity", "--yes", "--on-approval", "wait=1h").start(t)
	var slug string
	eventually(t, "the agent works", func() bool {
		slug = u.must("list", "-q")
		return slug != "" && u.inside(slug, "cat result").stdout == "work\n"
	})
	id, _ := u.askForImage(slug, "FROM "+agentImage+"\nRUN printf '\\033]0;owned\\007'; echo no such package; exit 7\n")
	u.must("approvals", "approve", id, "--scope", "bottle")
	if r := headless.wait(); r.status != 75 || r.stdout != "" || !strings.Contains(r.stderr, "podbottle resume "+slug) {
		t.Errorf("the headless session: %v", r)
	}

	r := u.run("resume", slug, "--headless", "--prompt", "cat result", "--yes")
	if r.status != 125 {
		t.Errorf("resumed without its image: %v", r)
	}
	recipe := filepath.Join(u.root, "state", slug, "Dockerfile")
	wants(t, r.stderr, "no such package", recipe, "podbottle resume "+slug+" --withdraw-image")
	if strings.Contains(r.stderr, "\x1b") {
		t.Errorf("the build reaches the terminal: %q", r.stderr)
	}
	wants(t, u.must("list", "--all", "--format", "{{.Slug}} {{.Status}}"), slug+" kept")
	u.must("cleanup", "--yes") // spares it

	// Mended by hand, then taken back.
	writeFile(t, recipe, fmt.Sprintf("FROM %s\nUSER root\nRUN echo mended > /built\n", agentImage))
	if r := u.run("resume", slug, "--headless", "--prompt", "cat result /built; exit 1", "--yes"); r.status != 1 || r.stdout != "work\nmended\n" {
		t.Errorf("with the mended image: %v", r)
	}
	if r := u.run("resume", slug, "--headless", "--prompt", "cat result /built", "--yes", "--withdraw-image"); r.status != 1 || r.stdout != "work\n" {
		t.Errorf("with the image before: %v", r)
	}
	if _, err := os.Stat(recipe); !os.IsNotExist(err) {
		t.Errorf("the recipe is still there: %v", err)
	}
	if r := u.run("resume", slug, "--headless", "--prompt", "true", "--yes", "--withdraw-image"); r.status != 125 || !strings.Contains(r.stderr, "no capability change") {
		t.Errorf("there was nothing to take back: %v", r)
	}
}

// The conversation is kept in the state, from where the provider's program has it,
// and a resume goes on with it.
func TestTranscriptIsKept(t *testing.T) {
	u := newUser(t)
	writeFile(t, filepath.Join(u.cwd, "image", "Containerfile"), "FROM "+agentImage+"\nCOPY --chmod=755 claude /usr/local/bin/claude\n")
	writeFile(t, filepath.Join(u.cwd, "image", "claude"), `#!/bin/bash
case " $* " in *" --continue "*) cat ~/.claude/projects/p/talk.jsonl; grep -o "http://supervise[^\"]*" ~/.claude.json; exit 0 ;; esac
mkdir -p ~/.claude/projects/p
echo '{"said":"hello"}' > ~/.claude/projects/p/talk.jsonl
ln -s /etc/passwd ~/.claude/projects/out
exit 3
`)
	u.write("bottles/fixer.md", "---\nagent_provider: {template: claude, dockerfile: image/Containerfile}\nsupervise: true\n---\n")
	u.write("agents/fixer.md", "---\nbottle: fixer\n---\nA test.\n")
	if r := u.run("start", "fixer", "--headless", "--prompt", "hello", "--yes"); r.status != 3 {
		t.Fatal(r)
	}
	slug := u.states()[0]
	transcript := filepath.Join(u.root, "state", slug, "transcript")
	if got := readFile(t, filepath.Join(transcript, "p", "talk.jsonl")); got != "{\"said\":\"hello\"}\n" {
		t.Errorf("the transcript is %q", got)
	}
	if _, err := os.Lstat(filepath.Join(transcript, "out")); !os.IsNotExist(err) {
		t.Errorf("a link of the agent's leads out of the state: %v", err)
	}
	if r := u.run("resume", slug, "--headless", "--prompt", "go on", "--yes"); r.status != 0 || r.stdout != "{\"said\":\"hello\"}\nhttp://supervise:9100/\n" {
		t.Errorf("the resumed session: %v", r)
	}
}

// The agent can read what its bottle allows, and reaches the one whom it can ask.
func TestTheAgentIsTold(t *testing.T) {
	u := newUser(t)
	u.bottle("fixer", "[bash]", route("")+"supervise: true")
	r := u.run("start", "fixer", "--headless", "--yes", "--prompt", `cd ~; cat "$BOT_BOTTLE_GUIDE" .bot-bottle-containerfile
		stat -c '%a %U' .bot-bottle-guide.md; curl -sS -o /dev/null -w '%{http_code}\n' "$BOT_BOTTLE_MCP_URL"`)
	wants(t, r.stdout, "- upstream.test, also on port 8443\n", "capability-block", "FROM "+agentImage+"\n", "400 node\n", "405\n")
	u.bottle("alone", "[bash]", "")
	r = u.run("start", "alone", "--headless", "--yes", "--prompt", `cat "$BOT_BOTTLE_GUIDE"; ls -A ~; echo "url=$BOT_BOTTLE_MCP_URL="`)
	wants(t, r.stdout, "Nobody can be asked", "url==")
	if strings.Contains(r.stdout, "containerfile") {
		t.Errorf("nobody would answer a proposal: %v", r)
	}
}
