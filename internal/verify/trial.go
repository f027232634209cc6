package verify

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/podbottle/podbottle/internal/blueprint"
	"github.com/podbottle/podbottle/internal/bottle"
	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/manifest"
	"github.com/podbottle/podbottle/internal/pod"
	"github.com/podbottle/podbottle/internal/progress"
	"github.com/podbottle/podbottle/internal/verify/probe"
)

// Variables of a bottle of verify's own, and the host variables behind them.
const (
	plainVariable  = "PODBOTTLE_VERIFY_PLAIN"
	secretVariable = "PODBOTTLE_VERIFY_SECRET"
	tokenVariable  = "PODBOTTLE_VERIFY_TOKEN"
	extraCA        = "BOT_BOTTLE_EXTRA_CA_CERTS"
)

// open finds the bottle, or starts one.
func (r *run) open(ctx context.Context) error {
	if r.options.Target != "" {
		found, err := r.launcher.Running(ctx, r.client, r.options.Target)
		if err == nil && found.Slug == r.options.Target {
			return r.enter(found)
		}
		index, indexErr := manifest.Open(r.launcher.Root, r.launcher.Cwd)
		switch {
		case indexErr == nil && slices.Contains(index.AgentNames(), r.options.Target): // also where a slug begins so
		case err == nil:
			return r.enter(found)
		case !errors.Is(err, pod.ErrNoBottle):
			return err
		case indexErr != nil:
			return indexErr
		default:
			return fmt.Errorf("%s: %w", r.options.Target, errNoTarget)
		}
		if r.options.Image != "" {
			return errors.New("--image is for a bottle of verify's own, and an agent's image is in its manifest; leave one of them out")
		}
	}
	return r.start(ctx)
}

// enter takes a bottle that runs as it is.
func (r *run) enter(found pod.Summary) error {
	for _, flag := range []struct{ name, value, has string }{
		{"--runtime", r.options.Runtime, found.Runtime},
		{"--firewall", string(r.options.Firewall.Engine), found.Firewall},
		{"--image", r.options.Image, "an image"},
	} {
		if flag.value != "" {
			return fmt.Errorf("%s is for a bottle that verify starts, and %s runs already, with %s; leave the flag out, or name an agent instead of the slug",
				flag.name, found.Slug, flag.has)
		}
	}
	r.slug = found.Slug
	return nil
}

// start makes a bottle with a route to verify's servers.
func (r *run) start(ctx context.Context) (err error) {
	if r.dir, err = os.MkdirTemp("", "podbottle-verify-"); err != nil {
		return err
	}
	machine, err := machineAddresses()
	if err != nil {
		return err
	}
	if r.servers, err = startServers(ctx, reachable(machine), r.mark, r.token); err != nil {
		return err
	}
	if err := r.writeCA(); err != nil {
		return err
	}
	agent := r.options.Target
	if agent == "" {
		agent = "verify"
		if err := r.writeManifest(ctx); err != nil {
			return err
		}
	}
	if err := breakTrial(r); err != nil {
		return err
	}
	if r.slug, err = r.startOne(ctx, agent, ""); err != nil {
		return fmt.Errorf("the bottle does not start: %w", err)
	}
	r.own = true
	workspace := ""
	if r.options.Target == "" { // an agent may be of the user's working directory
		if workspace, err = plantWorkspace(r.dir, r.ordinary, r.canary); err != nil {
			return err
		}
	}
	r.other, err = r.startOne(ctx, agent, workspace)
	if err != nil && workspace != "" && ctx.Err() == nil {
		r.blocked = err
		r.other, err = r.startOne(ctx, agent, "")
	}
	if err != nil {
		return fmt.Errorf("%s runs; the other bottle, which its agent must not reach, does not start: %w", r.slug, err)
	}
	return nil
}

// startOne starts a bottle for the trial, on a copy of a working directory unless
// that is empty, and returns its slug.
func (r *run) startOne(ctx context.Context, agent, workspace string) (string, error) {
	var out, said bytes.Buffer
	request := bottle.Request{
		Yes: true, Detach: true, Runtime: r.options.Runtime, Firewall: r.options.Firewall, OnApproval: "deny",
		Limits: trialLimits(),
		Trial:  r.trial(),
	}
	request.Spec.AgentName = agent
	launcher := r.ownLauncher(&out, &said)
	if workspace != "" {
		request.Spec.CopyCwd, launcher.Cwd = true, workspace
	}
	if _, err := launcher.Start(ctx, request); err != nil {
		return "", fmt.Errorf("%w\n%s", err, bytes.TrimRight(said.Bytes(), "\n"))
	}
	return strings.TrimSpace(out.String()), nil
}

// ownLauncher is the user's launcher, which also knows the trial's variables.
func (r *run) ownLauncher(out, said io.Writer) *bottle.Launcher {
	l := *r.launcher
	if r.options.Target == "" {
		l.Root = filepath.Join(r.dir, "bot-bottle")
	}
	values := map[string]string{
		tokenVariable: r.token, secretVariable: r.secret, extraCA: filepath.Join(r.dir, "ca.crt"),
	}
	lookup := l.Lookup
	l.Lookup = func(name string) (string, bool) {
		if value, ok := values[name]; ok {
			return value, true
		}
		return lookup(name)
	}
	l.Interactive, l.Out, l.Err, l.Progress = false, out, said, progress.New(said)
	return &l
}

// writeCA writes the certificates that the firewall is to trust: the user's extra
// ones and the server's.
func (r *run) writeCA() error {
	var text []byte
	if path, ok := r.launcher.Lookup(extraCA); ok && path != "" {
		var err error
		if text, err = os.ReadFile(path); err != nil { // #nosec G304 -- the user named it
			return fmt.Errorf("%s: %w", extraCA, err)
		}
	}
	return os.WriteFile(filepath.Join(r.dir, "ca.crt"), slices.Concat(text, []byte("\n"), r.servers.caPEM), 0o600)
}

// writeManifest writes the manifest tree of a bottle of verify's own.
func (r *run) writeManifest(ctx context.Context) error {
	image := r.options.Image
	if image == "" {
		sidecar, err := r.launcher.Sidecar(ctx, r.client)
		if err != nil {
			return err
		}
		image = sidecar.Image
	}
	root := filepath.Join(r.dir, "bot-bottle")
	bottleText := fmt.Sprintf("---\nagent_provider: {template: command, image: %q, command: [%s]}\nsupervise: true\nenv:\n  %s: %q\n  %s: ${%s}\n---\n",
		image, blueprint.Handover, plainVariable, r.plain, secretVariable, secretVariable)
	for name, text := range map[string]string{"bottles/verify.md": bottleText, "agents/verify.md": "---\nbottle: verify\n---\n"} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// trial is what distinguishes the bottle from an ordinary one.
func (r *run) trial() *bottle.Trial {
	s := r.servers.Server
	allowed := egress.Route{Host: s.Allowed, Port: int(s.Port), PathAllowlist: []string{"/open/", "/echo/"}}
	guarded := egress.Route{Host: s.Guarded, Port: int(s.GuardedPort)}
	allowed.SSRFIPAllowlist = []netip.Prefix{netip.PrefixFrom(s.Addr, s.Addr.BitLen())}
	allowed.AuthScheme, allowed.TokenRef = egress.SchemeBearer, tokenVariable
	return &bottle.Trial{
		Command: []string{blueprint.Handover, "probe", "hold", r.mark + "-hold-1"},
		Routes:  breakRoutes(s, allowed, guarded),
		Hosts:   []blueprint.Host{{Name: s.Allowed, Addr: s.Addr}, {Name: s.Guarded, Addr: netip.AddrFrom4([4]byte{127, 0, 0, 1})}, {Name: s.Unlisted, Addr: s.Addr}},
	}
}

// close takes down what verify started. Where that is all that is left to do, since a
// signal came, the user is told what goes on.
func (r *run) close(ctx context.Context, interrupted bool) {
	var left []string
	if r.own && !r.ended {
		left = append(left, r.slug)
	}
	if r.other != "" {
		left = append(left, r.other)
	}
	if len(left) > 0 {
		var said bytes.Buffer
		done := func(error) {}
		if interrupted {
			done = r.launcher.Progress.Step("take down " + strings.Join(left, ", "))
		}
		err := r.ownLauncher(io.Discard, &said).Stop(ctx, left, true)
		done(err)
		if err != nil {
			fmt.Fprintf(r.launcher.Err, "Warning: bottle %s is not taken down: %v\n", strings.Join(left, ", "), err)
		}
	}
	if r.servers != nil {
		r.servers.stop()
	}
	r.key.remove()
	if r.dir != "" {
		_ = pod.RemoveTree(r.dir)
	}
}

// task tells the probes inside where things are.
func (r *run) task(user string) (probe.Task, error) {
	machine, err := machineAddresses()
	if err != nil {
		return probe.Task{}, err
	}
	roots, err := r.agentRoots()
	if err != nil {
		return probe.Task{}, err
	}
	t := probe.Task{
		User: user, Mark: r.mark, Roots: roots, Secrets: r.secrets, Namespaces: namespaces(), Filters: r.filters, Host: machine,
		Egress: netip.AddrPortFrom(r.layout.Pod, egress.Port), Subnet: r.layout.Subnet, Gateway: r.layout.Gateway, Agent: r.layout.Agent, Outside: r.layout.Outside,
		Others: r.others(), Keyring: r.key.keyring(r.keyName()),
		Ports: []uint16{egress.Port}, Listening: r.listening,
	}
	for service, port := range map[blueprint.Service]uint16{blueprint.GitGate: 9418, blueprint.Supervise: 9100} {
		if _, ok := r.summary.Services[string(service)]; ok {
			t.Ports = append(t.Ports, port)
		}
	}
	if r.servers != nil {
		t.Server = &r.servers.Server
		if r.options.Target == "" {
			t.Variable = plainVariable + "=" + r.plain
		}
	}
	return t, nil
}

// agentRoots is the CA bundle that the agent is given.
func (r *run) agentRoots() ([]byte, error) {
	dir, err := r.launcher.RuntimeDir(r.slug)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(dir, "agent", "handover", "ca-bundle.crt")) // #nosec G304 -- our own
}

// collectSecrets reads what the sidecars hold: every line of every secret file
// that is long enough to be told from ordinary text.
func (r *run) collectSecrets() ([]string, error) {
	const shortest, pemHeader = 16, "-----"
	dir, err := r.launcher.RuntimeDir(r.slug)
	if err != nil {
		return nil, err
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*", "secrets", "*"))
	if err != nil {
		return nil, err
	}
	identities, err := filepath.Glob(filepath.Join(dir, "*", "secrets", "identities", "*"))
	if err != nil {
		return nil, err
	}
	var list []string
	for _, path := range append(paths, identities...) {
		info, err := os.Stat(path)
		if err != nil || info.IsDir() || strings.HasSuffix(path, ".crt") {
			continue
		}
		text, err := os.ReadFile(path) // #nosec G304 -- our own
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); len(line) >= shortest && !strings.HasPrefix(line, pemHeader) {
				list = append(list, line)
			}
		}
	}
	return list, nil
}

// others are the addresses of the other bottle: of verify's own, or else of one that runs.
func (r *run) others() []netip.Addr {
	if len(r.layout.Others) == 0 {
		return nil
	}
	return r.theOther().Addresses
}

func (r *run) theOther() pod.Other {
	for _, o := range r.layout.Others {
		if o.Slug == r.other {
			return o
		}
	}
	return r.layout.Others[0]
}

// reachOther asks the other bottle's egress from its own pod, which is the control of
// all that the agent of this one must not reach.
func (r *run) reachOther(ctx context.Context) (bool, error) {
	other := r.theOther()
	target := probe.Target{Network: "tcp", Address: netip.AddrPortFrom(other.Pod, egress.Port).String()}
	return r.reach(ctx, other.Slug, target)
}

// reachServers connects to the servers from the pod's own namespace, which is the
// control of all that the agent must not reach.
func (r *run) reachServers(ctx context.Context) (bool, error) {
	s := r.servers.Server
	targets := []probe.Target{
		{Network: "tcp", Address: netip.AddrPortFrom(s.Addr, s.Other).String(), Mark: r.mark + "-pod-1"},
		{Network: "udp", Address: netip.AddrPortFrom(s.Addr, s.DNS).String(), Mark: r.mark + "-pod-2"},
		{Network: "tcp", Address: fmt.Sprintf("127.0.0.1:%d", s.GuardedPort)},
	}
	return r.reach(ctx, r.slug, targets...)
}

// reach tells whether all targets answer in a bottle's pod.
func (r *run) reach(ctx context.Context, slug string, targets ...probe.Target) (bool, error) {
	var reached []probe.Reached
	command := []string{blueprint.SidecarBin, "probe", "reach"}
	if err := r.exec(ctx, pod.ContainerOf(slug, blueprint.Egress), "", command, targets, &reached); err != nil {
		return false, err
	}
	for _, t := range reached {
		if !t.OK {
			return false, nil
		}
	}
	return true, nil
}

// part runs a piece of a probe in the agent's container, as the agent (probe.Main).
func (r *run) part(ctx context.Context, output any, args ...string) error {
	return r.partIn(ctx, r.summary.Container, output, args...)
}

// partIn is part in a container of the other bottle.
func (r *run) partIn(ctx context.Context, container string, output any, args ...string) error {
	return r.exec(ctx, container, blueprint.AgentUser, append([]string{blueprint.Handover, "probe"}, args...), nil, output)
}

// exec runs one of our own programs in a container, gives it input as JSON, unless that
// is nil, and reads its JSON. Podman's API loses the output of a process that ends
// without having read what was sent to it.
func (r *run) exec(ctx context.Context, container, user string, command []string, input, output any) error {
	var text []byte
	if input != nil {
		var err error
		if text, err = json.Marshal(input); err != nil {
			return err
		}
	}
	out, err := r.client.Output(ctx, container, user, command, text)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(out, output); err != nil {
		return fmt.Errorf("%s in %s: %w", cmp.Or(command...), container, err)
	}
	return nil
}
