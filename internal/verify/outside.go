package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/podbottle/podbottle/internal/blueprint"
	"github.com/podbottle/podbottle/internal/pod"
	"github.com/podbottle/podbottle/internal/verify/probe"
)

func outsideProbes() []hostProbe {
	return []hostProbe{
		{Probe: probe.Probe{
			ID:      "outside.inspect",
			Tried:   "search what Podman says of the containers, the pod, the networks, the volume, the images and their history",
			Control: "the slug is found there",
			Breach:  "a token, a key or a forwarded variable is found",
		}, run: inspectProbe},
		{Probe: probe.Probe{
			ID:      "outside.arguments",
			Tried:   "search the arguments of every process of this machine",
			Control: "this process is found",
			Breach:  "one is found",
		}, run: argumentsProbe},
		{Probe: probe.Probe{
			ID:      "outside.logs",
			Tried:   "search the logs of all containers, and the user's journal",
			Control: "the containers have said something",
			Breach:  "one is found",
		}, run: logsProbe},
		{Probe: probe.Probe{
			ID:      "outside.state",
			Tried:   "search the state tree on the disk",
			Control: "the bottle's slug is found there",
			Breach:  "one is found",
		}, run: stateProbe},
		{Probe: probe.Probe{
			ID:      "outside.modes",
			Tried:   "look for files of the bottle that other users of this machine can reach",
			Control: "one that is made for it is found",
			Breach:  "there is one",
		}, run: modesProbe},
		{Probe: probe.Probe{
			ID:      "outside.dumps",
			Tried:   "look whether egress, git-gate, supervise or the built-in firewall would leave a core dump",
			Control: "a process of this user would",
			Breach:  "one would",
		}, run: dumpsProbe},
	}
}

// forbidden are the secrets that nobody but their sidecar, or the agent, may hold.
func (r *run) forbidden() []string {
	if r.own && r.options.Target == "" {
		return append([]string{r.secret}, r.secrets...)
	}
	return r.secrets
}

// find returns the name of the first text that holds one of them; empty for none.
func (r *run) find(texts map[string][]byte) string {
	for name, text := range texts {
		for _, secret := range r.forbidden() {
			if bytes.Contains(text, []byte(secret)) {
				return name
			}
		}
	}
	return ""
}

// holds tells whether one of the texts has what is wanted.
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
	said := 0
	for service := range r.summary.Services {
		if service == "infra" {
			continue
		}
		name := r.summary.Container
		if service != string(blueprint.Agent) {
			name = pod.ContainerOf(r.slug, blueprint.Service(service))
		}
		var text bytes.Buffer
		if err := r.client.Logs(ctx, name, pod.LogRange{}, &text, &text); err != nil {
			return incomplete("%v", err)
		}
		texts["log of "+service] = text.Bytes()
		said += text.Len()
	}
	if said == 0 {
		return incomplete("no container has said anything")
	}
	if name := r.find(texts); name != "" {
		return breach("a secret is in the %s", name)
	}
	switch found, err := journalHolds(ctx, r.summary.Created, r.forbidden()); {
	case err != nil:
		return incomplete("journal: %v", err)
	case found:
		return breach("a secret is in the journal")
	}
	return held(fmt.Sprintf("the containers said %d bytes", said), "%d logs and the journal, no secret", len(texts))
}

// journalHolds searches what the user's journal got since the bottle was made. The
// secrets are looked for here, not by journalctl: its arguments are public.
func journalHolds(ctx context.Context, since time.Time, secrets []string) (bool, error) {
	journalctl, err := exec.LookPath("journalctl")
	if err != nil {
		return false, nil // no systemd, no journal
	}
	command := exec.CommandContext(ctx, journalctl, "--user", "--quiet", "--output=export", "--since", since.Local().Format(time.DateTime)) // #nosec G204 -- fixed arguments
	out, err := command.StdoutPipe()
	if err != nil {
		return false, err
	}
	if err := command.Start(); err != nil {
		return false, err
	}
	found, err := probe.Search(out, secrets)
	_ = out.Close()
	_ = command.Wait() // its status is another where there is no journal yet
	return found != "", err
}

// files returns what the regular files below a directory hold, by path. What a
// sidecar's uid keeps to itself is not podbottle's to read.
func files(dir string) map[string][]byte {
	texts := map[string][]byte{}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if text, err := os.ReadFile(path); err == nil { // #nosec G304 G122 -- read only, below a directory of ours
				texts[path] = text
			}
		}
		return nil
	})
	return texts
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
		maps.Copy(texts, files(dir))
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
