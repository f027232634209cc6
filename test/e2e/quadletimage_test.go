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

// fakeClaude takes the place of Claude Code: it writes its arguments down, keeps a
// conversation where the real one has it, and becomes a shell.
const fakeClaude = `#!/bin/bash
echo "$*" >> ~/starts
mkdir -p ~/.claude/projects/p
echo '{"said":"hello"}' > ~/.claude/projects/p/talk.jsonl
exec bash --norc
`

// imageOf is a Containerfile with the fake program and a file that names it.
func imageOf(name string) string {
	return "FROM " + agentImage + "\nUSER root\nRUN date +%N > /built-at; echo " + name + " > /built\n" +
		"COPY --chmod=755 <<'E' /usr/local/bin/claude\n" + fakeClaude + "E\nUSER node\n"
}

// unitImage is a bottle of systemd whose agent asks for images.
type unitImage struct {
	*tree
	t    *testing.T
	name string
}

// asks proposes a Containerfile and returns the proposal's id.
func (u unitImage) asks(containerfile string) (id string, answer <-chan string) {
	u.t.Helper()
	arguments, err := json.Marshal(map[string]string{"containerfile": containerfile, "justification": "a test"})
	if err != nil {
		u.t.Fatal(err)
	}
	answer = u.askFor(u.t, u.name, "capability-block", string(arguments))
	return u.proposal(u.t), answer
}

// refuses tries to approve a Containerfile, which must fail with a reason, leave
// the proposal waiting, and the bottle as it is.
func (u unitImage) refuses(containerfile string, reasons ...string) {
	u.t.Helper()
	id, answer := u.asks(containerfile)
	agent, home, units := u.agent(), u.inBottle(u.t, u.name, everything), u.units()
	r := u.podbottle("approvals", "approve", id, "--scope", "bottle").run(u.t)
	if r.status != 125 {
		u.t.Errorf("approved: %v", r)
	}
	wants(u.t, r.stderr, append(reasons, "still pending")...)
	if strings.Contains(r.stderr, "\x1b") {
		u.t.Errorf("the build reaches the terminal: %q", r.stderr)
	}
	if waits := u.podbottle("list", "--format", "{{.Waiting}} {{.Status}}").succeed(u.t); waits != "1 running" {
		u.t.Errorf("afterwards podbottle list says %q", waits)
	}
	if u.agent() != agent || u.inBottle(u.t, u.name, everything) != home {
		u.t.Error("the agent was started again, or its home is another")
	}
	if got := u.units(); got != units {
		u.t.Errorf("the units are\n%s\nand were\n%s", got, units)
	}
	u.podbottle("approvals", "deny", id, "--reason", "no").succeed(u.t)
	<-answer
}

// agent is the ID of the agent's container.
func (u unitImage) agent() string {
	return podman(u.t, "inspect", "bot-bottle-"+u.name, "--format", "{{.Id}}")
}

// units are all files that systemd and the build see.
func (u unitImage) units() string {
	home, err := os.UserHomeDir()
	if err != nil {
		u.t.Fatal(err)
	}
	return command{argv: []string{
		"bash", "-c", `find "$@" -type f -exec sha256sum {} + | sort -k2`, "-",
		filepath.Join(home, ".config/containers/systemd"), filepath.Join(u.root, "state", u.name, "units", "build"),
	}}.succeed(u.t)
}

// unchanged wants what is installed to be what the manifest says.
func (u unitImage) unchanged() {
	u.t.Helper()
	if r := u.podbottle("quadlet", "diff", u.name).run(u.t); r.status != 0 || r.stdout != "" {
		u.t.Errorf("diff: status %d\n%s%s", r.status, r.stdout, r.stderr)
	}
}

func TestCapabilityBlockOfUnits(t *testing.T) {
	leavesNothing(t)
	const name = "e2e-other-image-2"
	tr := newTree(t, map[string]string{
		"agents/worker.md": "---\nbottle: web\n---\nYou work.\n",
		"bottles/web.md":   "---\nagent_provider: {template: claude, dockerfile: image/Containerfile}\nenv: {DB_PASSWORD: \"${UNIT_PASSWORD}\"}\nsupervise: true\n---\n",
	})
	recipe := filepath.Join(tr.cwd, "image", "Containerfile")
	writeFile(t, recipe, "FROM "+agentImage+"\nUSER root\nRUN echo manifest > /built\nCOPY --chmod=755 claude /usr/local/bin/claude\nUSER node\n")
	writeFile(t, filepath.Join(tr.cwd, "image", "claude"), fakeClaude)
	tr.env = []string{"UNIT_PASSWORD=unit-password-2b9d"}
	tr.install(t, name, "--now")
	tr.env = nil // approvals are given in another shell, which does not have the values

	u := unitImage{tr, t, name}
	u.unchanged()
	tr.inBottle(t, name, "mkdir -p ~/.cache/x ~/workspace && head -c 300000 /dev/urandom > ~/.cache/x/data && echo work > ~/workspace/file && ln -s .cache/x ~/link")

	t.Run("refused", func(t *testing.T) {
		u := unitImage{tr, t, name}
		u.refuses("FROM "+agentImage+"\nRUN printf '\\033]0;owned\\007'; echo no such package; exit 7\n", "no such package")
		writeFile(t, recipe, readFile(t, recipe)+"# changed\n")
		u.refuses(imageOf("new"), "podbottle quadlet diff "+name)
		wants(t, tr.podbottle("quadlet", "diff", name).run(t).stdout, "+# changed")
		if shown := readFile(t, filepath.Join(tr.root, "state", name, "supervise", "current-config", "Dockerfile")); strings.Contains(shown, "# changed") {
			t.Error("approvals compare with a Containerfile that is not installed")
		}
		writeFile(t, recipe, strings.TrimSuffix(readFile(t, recipe), "# changed\n"))
		u.unchanged()
	})

	own := func(text string) string { // without podbottle's own files, which follow the image, and the notes of the starts
		var kept []string
		for _, line := range lines(text) {
			if !strings.Contains(line, ".bot-bottle-") && !strings.Contains(line, "./starts") && !strings.HasPrefix(line, ". d") {
				kept = append(kept, line)
			}
		}
		return strings.Join(kept, "\n")
	}
	t.Run("approved", func(t *testing.T) {
		u := unitImage{tr, t, name}
		screen := newScreen(t, &user{tr, t})
		screen.run("podbottle attach " + name + "; echo status=$?")
		screen.send("echo $((6*7))")
		screen.waitFor("42")
		before, agent := tr.inBottle(t, name, everything), u.agent()
		id, answer := u.asks(imageOf("new"))
		wants(t, tr.podbottle("approvals", "show", id).succeed(t), "+RUN date", "systemd then starts it again")
		tr.podbottle("approvals", "approve", id, "--scope", "bottle").succeed(t)
		wants(t, <-answer, "approved")
		screen.waitFor("A human approved another image for " + name)
		screen.waitFor("status=75")
		if u.agent() == agent {
			t.Error("the agent was not started again")
		}
		if got := tr.inBottle(t, name, "cat /built ~/.bot-bottle-containerfile; echo $DB_PASSWORD"); got != "new\n"+imageOf("new")+"unit-password-2b9d\n" {
			t.Errorf("in the new image: %q", got)
		}
		if after := tr.inBottle(t, name, everything); own(before) != own(after) {
			t.Errorf("the home was\n%s\nand is\n%s", own(before), own(after))
		}
		var starts []string
		eventually(t, "the agent has written down its second start", func() bool {
			starts = strings.Split(tr.inBottle(t, name, "cat ~/starts"), "\n")
			return len(starts) > 2
		})
		if len(starts) != 3 || strings.Contains(starts[0], "--continue") || !strings.Contains(starts[1], "--continue") {
			t.Errorf("the agent was started with %q", starts)
		}
		if got := readFile(t, filepath.Join(tr.root, "state", name, "transcript", "p", "talk.jsonl")); got != "{\"said\":\"hello\"}\n" {
			t.Errorf("the transcript is %q", got)
		}
		build := command{argv: []string{"systemctl", "--user", "cat", "bot-bottle-" + name + "-image-build.service"}}.succeed(t)
		wants(t, build, "bot-bottle-rebuilt-"+name)
		if got := readFile(t, filepath.Join(tr.root, "state", name, "units", "build", "Dockerfile")); got != imageOf("new") {
			t.Errorf("the build unit reads %q", got)
		}
		u.unchanged()
		built := tr.inBottle(t, name, "cat /built-at")
		tr.podbottle("quadlet", "restart", name).succeed(t)
		if again := tr.inBottle(t, name, "cat /built-at"); again != built {
			t.Error("a start builds the image again")
		}
	})
	t.Run("refused after another was approved", func(t *testing.T) {
		unitImage{tr, t, name}.refuses("FROM "+agentImage+"\nRUN exit 8\n", "8")
	})
	t.Run("withdrawn", func(t *testing.T) {
		u := unitImage{tr, t, name}
		tr.podbottle("quadlet", "restart", name, "--withdraw-image").succeed(t)
		if got := tr.inBottle(t, name, "cat /built ~/workspace/file"); got != "manifest\nwork\n" {
			t.Errorf("with the image before: %q", got)
		}
		u.unchanged()
		if r := tr.podbottle("quadlet", "restart", name, "--withdraw-image").run(t); r.status != 125 || !strings.Contains(r.stderr, "no capability change") {
			t.Errorf("there was nothing to take back: %v", r)
		}
	})
	t.Run("approved while it is stopped", func(t *testing.T) {
		u := unitImage{tr, t, name}
		id, answer := u.asks(imageOf("stopped"))
		tr.podbottle("quadlet", "stop", name).succeed(t)
		<-answer
		tr.podbottle("approvals", "approve", id, "--scope", "bottle").succeed(t)
		if got := tr.podbottle("quadlet", "list", "--format", "{{.Active}}").succeed(t); got != "inactive" {
			t.Errorf("the approval of a bottle that is stopped leaves it %s", got)
		}
		tr.podbottle("quadlet", "start", name).succeed(t)
		if got := tr.inBottle(t, name, "cat /built ~/workspace/file"); got != "stopped\nwork\n" {
			t.Errorf("in the new image: %q", got)
		}
	})
	tr.podbottle("quadlet", "uninstall", name, "--yes").succeed(t)
	if got := podman(t, "images", "--filter", "label=io.podbottle.slug="+name, "--format", "{{.Repository}}"); got != "" {
		t.Errorf("images are left: %s", got)
	}
	if r := (command{argv: []string{"podman", "image", "exists", fmt.Sprintf("bot-bottle-claude:%s", name)}}).run(t); r.status == 0 {
		t.Error("the image of the manifest's Containerfile is left")
	}
}

// A headless agent whose image is approved while it works runs its prompt anew.
func TestCapabilityBlockOfAJob(t *testing.T) {
	leavesNothing(t)
	const name = "e2e-job-image-2"
	tr := newTree(t, map[string]string{
		"agents/worker.md": "---\nbottle: web\n---\nYou work.\n",
		"bottles/web.md":   "---\nagent_provider: {template: command, image: '" + agentImage + "', command: [bash]}\nsupervise: true\n---\n",
	})
	tr.install(t, name, "--headless", "--on-approval=wait=1h", "--prompt", "echo begun >> ~/notes; test -e /built || sleep infinity; cat ~/notes /built")
	started := tr.podbottle("quadlet", "start", name).start(t)
	u := unitImage{tr, t, name}
	eventually(t, "the agent works", func() bool { return tr.inBottle(t, name, "cat ~/notes") == "begun\n" })
	id, answer := u.asks("FROM " + agentImage + "\nUSER root\nRUN echo new > /built\nUSER node\n")
	tr.podbottle("approvals", "approve", id, "--scope", "bottle").succeed(t)
	wants(t, <-answer, "approved")
	if r := started.wait(); r.status == 0 {
		t.Errorf("the run that was cut short: %v", r)
	}
	file := filepath.Join(tr.root, "state", name, "answer.txt")
	eventually(t, "the prompt ran in the new image", func() bool { return holds(file, "begun\nbegun\nnew\n") })
	u.unchanged()
}

// With a copy of the working directory the image has a layer more, which no unit builds.
func TestCapabilityBlockWithAWorkspace(t *testing.T) {
	leavesNothing(t)
	const name = "e2e-work"
	tr := newTree(t, map[string]string{
		"agents/worker.md": "---\nbottle: web\n---\nYou work.\n",
		"bottles/web.md":   "---\nagent_provider: {template: command, image: '" + agentImage + "', command: [bash]}\nsupervise: true\n---\n",
	})
	writeFile(t, filepath.Join(tr.cwd, "file"), "of the workspace\n")
	tr.install(t, name, "--cwd", "--now")
	u := unitImage{tr, t, name}
	tr.inBottle(t, name, "echo changed >> ~/workspace/file")
	u.refuses("FROM "+agentImage+"\nRUN exit 9\n", "9")
	id, answer := u.asks("FROM " + agentImage + "\nUSER root\nRUN echo new > /built\nUSER node\n")
	tr.podbottle("approvals", "approve", id, "--scope", "bottle").succeed(t)
	wants(t, <-answer, "approved")
	if got := tr.inBottle(t, name, "cat /built ~/workspace/file"); got != "new\nof the workspace\nchanged\n" {
		t.Errorf("in the new image: %q", got)
	}
	u.unchanged()
	tr.podbottle("quadlet", "restart", name, "--withdraw-image").succeed(t)
	wants(t, tr.inBottle(t, name, "ls /built; cat ~/workspace/file"), "No such file", "of the workspace\nchanged\n")
}
