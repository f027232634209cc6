package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/podbottle/podbottle/internal/blueprint"
	"github.com/podbottle/podbottle/internal/breakage"
	"github.com/podbottle/podbottle/internal/verify/probe"
)

// hostProbe is a probe that runs on the host.
type hostProbe struct {
	probe.Probe
	own bool // it needs a bottle of verify's own, which it changes or ends
	run func(context.Context, *run) probe.Result
}

// Catalogue lists all probes, in the order of a report.
func Catalogue() []probe.Probe {
	list := probe.Inside()
	for _, p := range hostProbes() {
		list = append(list, p.Probe)
	}
	return list
}

// hostProbes are in the order in which they run: the last ones end the bottle.
func hostProbes() []hostProbe {
	return []hostProbe{
		{probe.Probe{ID: "outside.inspect", Tried: "search what Podman says of the containers, the pod, the networks, the volume, the images and their history", Control: "the slug is found there", Breach: "a token, a key or a forwarded variable is found"}, false, inspectProbe},
		{probe.Probe{ID: "outside.arguments", Tried: "search the arguments of every process of this machine", Control: "this process is found", Breach: "one is found"}, false, argumentsProbe},
		{probe.Probe{ID: "outside.logs", Tried: "search the logs of all containers, and the user's journal", Control: "the containers have said something", Breach: "one is found"}, false, logsProbe},
		{probe.Probe{ID: "outside.state", Tried: "search the state tree on the disk", Control: "the bottle's slug is found there", Breach: "one is found"}, false, stateProbe},
		{probe.Probe{ID: "outside.modes", Tried: "look for files of the bottle that other users of this machine can reach", Control: "one that is made for it is found", Breach: "there is one"}, false, modesProbe},
		{probe.Probe{ID: "outside.dumps", Tried: "look whether egress, git-gate, supervise or the built-in firewall would leave a core dump", Control: "a process of this user would", Breach: "one would"}, false, dumpsProbe},
		{probe.Probe{ID: "copies.trees", Tried: "copy out trees with links that lead out, devices, pipes, sockets, setuid files, sparse files and names that upset a terminal", Control: "an ordinary tree arrives", Breach: "a link leads out of the copy, something but files and directories arrives, or a file beside it changes"}, true, copiesProbe},
		{probe.Probe{ID: "copies.settings", Tried: "copy out a repository with git's configuration, hooks and attributes, and settings of an editor", Control: "the files arrive; an ordinary one is not named", Breach: "podbottle does not name one of them"}, true, settingsProbe},
		{probe.Probe{ID: "operator.escapes", Tried: "have the agent print, and send to egress, text that upsets a terminal; then show the logs and the audit file as the operator sees them", Control: "the text's mark is shown", Breach: "a control character, or one that turns the direction of writing, is shown"}, true, escapesProbe},
		{probe.Probe{ID: "life.detached", Tried: "leave a process of a session of its own behind in the container, and end the bottle", Control: "it runs before", Breach: "a process of the bottle is left on this machine"}, true, detachedProbe},
		{probe.Probe{ID: "life.leftovers", Tried: "look for what the ended bottle left: Podman's objects, the slice, the runtime directory, the state", Control: "they were there before", Breach: "one is left"}, true, leftoversProbe},
	}
}

func result(outcome probe.Outcome, format string, args ...any) probe.Result {
	return probe.Result{Outcome: outcome, Seen: fmt.Sprintf(format, args...)}
}

func held(control, format string, args ...any) probe.Result {
	r := result(probe.Held, format, args...)
	r.Control = control
	return r
}

func breach(format string, args ...any) probe.Result { return result(probe.Breach, format, args...) }

func incomplete(format string, args ...any) probe.Result {
	return result(probe.Incomplete, format, args...)
}

// find returns the name of the first text that holds a secret which nobody but its
// sidecar, or the agent, may hold.
func (r *run) find(texts map[string][]byte) string {
	secrets := r.secrets
	if r.own && r.options.Target == "" {
		secrets = append([]string{r.secret}, secrets...)
	}
	for name, text := range texts {
		for _, secret := range secrets {
			if bytes.Contains(text, []byte(secret)) {
				return name
			}
		}
	}
	return ""
}

func holds(texts map[string][]byte, want string) bool {
	for _, text := range texts {
		if bytes.Contains(text, []byte(want)) {
			return true
		}
	}
	return false
}

func inspectProbe(ctx context.Context, r *run) probe.Result {
	texts, err := r.client.Everything(ctx, r.slug)
	switch {
	case err != nil:
		return incomplete("%v", err)
	case !holds(texts, r.slug):
		return incomplete("not even the slug is found")
	}
	if name := r.find(texts); name != "" {
		return breach("podman inspect shows a secret: %s", name)
	}
	return held("the slug is found", "%d objects, no secret", len(texts))
}

func argumentsProbe(_ context.Context, r *run) probe.Result {
	texts := processes()
	if _, ok := texts[fmt.Sprintf("/proc/%d/cmdline", os.Getpid())]; !ok {
		return incomplete("not even this process is found")
	}
	if name := r.find(texts); name != "" {
		return breach("%s holds a secret", name)
	}
	return held("this process is found", "%d processes, no secret", len(texts))
}

func logsProbe(ctx context.Context, r *run) probe.Result {
	texts := map[string][]byte{}
	for service := range r.summary.Services {
		if service == "infra" {
			continue
		}
		name := r.summary.Container
		if service != string(blueprint.Agent) {
			name = "bot-bottle-" + r.slug + "-" + service
		}
		var text bytes.Buffer
		if err := r.client.Logs(ctx, name, false, "", &text, &text); err != nil {
			return incomplete("%v", err)
		}
		texts["log of "+service] = text.Bytes()
	}
	said := 0
	for _, text := range texts {
		said += len(text)
	}
	if said == 0 {
		return incomplete("no container has said anything")
	}
	if journal, err := exec.LookPath("journalctl"); err == nil {
		// The secrets are looked for here, not by the program: its arguments are public.
		since := time.Now().Add(-5 * time.Minute).Format("2006-01-02 15:04:05")
		out, err := exec.CommandContext(ctx, journal, "--user", "--quiet", "--output=export", "--since", since).Output() // #nosec G204 -- fixed arguments
		var status *exec.ExitError
		if err != nil && !errors.As(err, &status) {
			return incomplete("journal: %v", err)
		}
		texts["journal"] = out
	}
	if name := r.find(texts); name != "" {
		return breach("a secret is in the %s", name)
	}
	return held(fmt.Sprintf("the containers said %d bytes", said), "%d logs, no secret", len(texts))
}

// stateDirs are the bottle's directories on the disk.
func (r *run) stateDirs() []string {
	root := r.launcher.Root
	if r.own {
		root = r.ownLauncher(nil, nil).Root
	}
	return []string{filepath.Join(root, "state", r.slug), filepath.Join(root, "queue", r.slug)}
}

func stateProbe(_ context.Context, r *run) probe.Result {
	texts := map[string][]byte{}
	for _, dir := range r.stateDirs() {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil // what a sidecar's uid keeps to itself is not podbottle's to read
			}
			if text, err := os.ReadFile(path); err == nil { // #nosec G304 G122 -- the state tree, read only
				texts[path] = text
			}
			return nil
		})
		if err != nil {
			return incomplete("%v", err)
		}
	}
	if !holds(texts, r.slug) {
		return incomplete("not even the slug is found in %d files", len(texts))
	}
	if name := r.find(texts); name != "" {
		return breach("%s holds a secret", name)
	}
	return held("the slug is found", "%d files, no secret", len(texts))
}

func modesProbe(_ context.Context, r *run) probe.Result {
	open, err := os.MkdirTemp("", "podbottle-control-")
	if err != nil {
		return incomplete("%v", err)
	}
	defer os.RemoveAll(open)
	control := filepath.Join(open, "control")
	if err := errors.Join(os.Chmod(open, 0o755), os.WriteFile(control, nil, 0o600), os.Chmod(control, 0o644)); err != nil { // #nosec G302 -- to be found
		return incomplete("%v", err)
	}
	if exposed(open) == "" {
		return incomplete("the file that was made for the control is not found")
	}
	runtime, err := r.launcher.RuntimeDir(r.slug)
	if err != nil {
		return incomplete("%v", err)
	}
	dirs := r.stateDirs()
	state, queues := dirs[0], filepath.Dir(dirs[1]) // supervise writes to its queue as another uid: the directory above closes it
	for _, dir := range []string{state, queues, runtime} {
		if path := exposed(dir); path != "" {
			return breach("other users can reach %s", path)
		}
	}
	return held("the file that was made for it is found", "no file of the bottle can be reached by others")
}

// exposed returns a file below dir that other users can read. What lies above dir is
// not looked at: that a home directory is closed, or a temporary one, is no merit of the bottle's.
func exposed(dir string) string {
	var found string
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		info, err := d.Info()
		switch {
		case err != nil:
		case d.IsDir() && info.Mode().Perm()&0o001 == 0:
			return fs.SkipDir
		case info.Mode().IsRegular() && info.Mode().Perm()&0o004 != 0:
			found = path
			return fs.SkipAll
		}
		return nil
	})
	return found
}

// escapesProbe shows the agent's own output, which it begins with probe.Escapes.
func escapesProbe(ctx context.Context, r *run) probe.Result {
	var out bytes.Buffer
	l := r.ownLauncher(&out, &out)
	for _, service := range []blueprint.Service{blueprint.Agent, blueprint.Egress} {
		if err := l.Logs(ctx, r.slug, string(service), false, breakage.Has("escapes")); err != nil {
			return incomplete("%v", err)
		}
	}
	if !strings.Contains(out.String(), r.mark+"-hold-1") {
		return incomplete("the mark that the agent printed is not shown")
	}
	for _, c := range out.String() {
		if c == '\n' {
			continue
		}
		if c < ' ' || c == 0x7f || (c >= 0x80 && c < 0xa0) || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) {
			return breach("the logs show the character %U", c)
		}
	}
	return held("the mark is shown", "%d bytes of logs, none of them acts on a terminal", out.Len())
}

func detachedProbe(ctx context.Context, r *run) probe.Result {
	mark := r.mark + "-child-1"
	out, err := r.client.Output(ctx, r.summary.Container, blueprint.AgentUser, []string{blueprint.Handover, "probe", "--detach", mark}, nil)
	if err != nil || strings.TrimSpace(string(out)) != "running" {
		return incomplete("no process can be left behind: %v", err)
	}
	if !holds(processes(), r.slug) {
		return incomplete("this machine does not even show the processes of the bottle")
	}
	if err := r.ownLauncher(&bytes.Buffer{}, &bytes.Buffer{}).Stop(ctx, []string{r.slug}, true); err != nil {
		return incomplete("the bottle does not end: %v", err)
	}
	r.ended = true
	breakEnd(ctx, r)
	const patience = 5 * time.Second
	left := r.left(mark)
	for deadline := time.Now().Add(patience); left != "" && time.Now().Before(deadline); left = r.left(mark) {
		time.Sleep(50 * time.Millisecond)
	}
	if left != "" {
		return breach("left %s after the end: %s", patience, left)
	}
	return held("it ran, and this machine showed the bottle's processes", "no process of the bottle is left")
}

// left returns a process that the ended bottle left.
func (r *run) left(mark string) string {
	for path, text := range processes() {
		if bytes.Contains(text, []byte("--exec-process-spec")) {
			continue // Podman's own: it keeps the status of a podbottle exec for five minutes
		}
		if bytes.Contains(text, []byte(mark)) || bytes.Contains(text, []byte("bot-bottle-"+r.slug)) {
			return path + " " + string(text[:min(len(text), 120)])
		}
	}
	return ""
}

func leftoversProbe(ctx context.Context, r *run) probe.Result {
	if !r.ended {
		return incomplete("the bottle has not ended")
	}
	objects, err := r.client.Objects(ctx)
	if err != nil {
		return incomplete("%v", err)
	}
	var left []string
	for _, o := range objects {
		if o.Slug == r.slug {
			left = append(left, o.Kind+" "+o.Name)
		}
	}
	runtime, err := r.launcher.RuntimeDir(r.slug)
	if err != nil {
		return incomplete("%v", err)
	}
	dirs := []string{runtime}
	root := filepath.Join(r.dir, "bot-bottle")
	if r.options.Target != "" {
		root = r.launcher.Root
	}
	for _, tree := range []string{"state", "queue"} {
		dirs = append(dirs, filepath.Join(root, tree, r.slug))
	}
	for _, dir := range dirs {
		if _, err := os.Lstat(dir); err == nil {
			left = append(left, dir)
		}
	}
	if len(left) > 0 {
		return breach("left: %s", strings.Join(left, ", "))
	}
	return held("the bottle ran", "nothing is left")
}
