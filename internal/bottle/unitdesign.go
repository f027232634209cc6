package bottle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/podbottle/podbottle/images"
	"github.com/podbottle/podbottle/internal/blueprint"
	"github.com/podbottle/podbottle/internal/pod"
	"github.com/podbottle/podbottle/internal/quadlet"
	"github.com/podbottle/podbottle/internal/secret"
	"github.com/podbottle/podbottle/internal/state"
	"github.com/podbottle/podbottle/internal/supervise"
	"github.com/podbottle/podbottle/internal/visible"
)

// design is a bottle for systemd: everything is decided and nothing is made.
type design struct {
	*launch
	wanted   UnitRequest
	tree     unitTree
	bottle   *blueprint.Bottle
	units    []quadlet.Unit
	snapshot quadlet.Snapshot
	wrapper  string // the agent's OCI runtime; empty for Podman's default
	hasBuild bool   // the image is built by a unit
	values   bool   // the secrets are the host's, and not stand-ins
}

// design decides everything about a bottle for systemd. Without values, tokens
// and keys are not looked up; stand-ins take their places, since units name
// secrets and do not hold them. The bottle is locked until close.
func (l *Launcher) design(ctx context.Context, client *pod.Client, r UnitRequest, values bool) (d *design, err error) {
	if err := CheckUnitName(r.Spec.Identity); err != nil {
		return nil, err
	}
	tree, err := l.unitTree(r.Spec.Identity)
	if err != nil {
		return nil, err
	}
	d = &design{wanted: r, tree: tree, values: values, launch: &launch{Launcher: l.as(r), request: r.request(), client: client, units: true, standIns: !values}}
	if err := d.prepare(ctx); err != nil {
		if d.lock != nil {
			err = errors.Join(err, d.putBack())
		}
		d.unlock()
		return nil, err
	}
	if err := d.decide(ctx); err != nil {
		return nil, errors.Join(err, d.close(false))
	}
	return d, nil
}

// takeOver looks, once the bottle's lock is held and before anything is written, whether
// the name has state. That of a bottle of systemd may be written anew.
func (s *launch) takeOver(name string) error {
	vacant, err := state.Vacant(s.Root, name)
	if err != nil {
		return err
	}
	if s.resumed = !vacant; vacant {
		return nil
	}
	if !s.OwnedBySystemd(name) {
		return fmt.Errorf("there is a bottle %s already, which podbottle list --all shows; say another --name", name)
	}
	meta, err := state.ReadMetadata(s.Root, name)
	if err == nil { // otherwise there is nothing to put back, and installing it again mends it
		return s.keepEarlier(name, meta)
	}
	return nil
}

// earlier is what the state of an installed bottle says before resolution writes anew.
type earlier struct {
	meta   state.Metadata
	file   string // with the Containerfile that the agent may propose to change
	recipe []byte // its content; nil without such a file
}

// keepEarlier remembers what the state says.
func (s *launch) keepEarlier(name string, meta state.Metadata) error {
	tree, err := state.Of(s.Root, name)
	if err != nil {
		return err
	}
	e := earlier{meta: meta, file: supervise.Plan{CurrentConfigDir: tree.CurrentConfig()}.ContainerfilePath()}
	if e.recipe, err = os.ReadFile(e.file); ignoreMissing(err) != nil {
		return err
	}
	s.earlier = &e
	return nil
}

// putBack makes the state say so again.
func (e *earlier) putBack(root string) error {
	if err := state.WriteMetadata(root, e.meta); err != nil {
		return err
	}
	if e.recipe == nil {
		return ignoreMissing(os.Remove(e.file))
	}
	return state.WriteFile(e.file, e.recipe)
}

// close gives the bottle's lock back. Unless the design is installed, the state is then
// as it was before.
func (d *design) close(installed bool) error {
	defer d.unlock()
	if installed {
		return d.discard()
	}
	return errors.Join(d.discard(), d.putBack())
}

// putBack makes the state of a bottle that is not installed what it was: that of an
// earlier installation, or none.
func (d *design) putBack() error {
	switch {
	case !d.resumed:
		return removeState(d.Root, d.wanted.Spec.Identity)
	case d.earlier != nil:
		return d.earlier.putBack(d.Root)
	}
	return nil
}

// decide makes the units of the plan.
func (d *design) decide(ctx context.Context) error {
	if err := checkCalendar(ctx, d.wanted.OnCalendar); err != nil {
		return err
	}
	binary, err := pod.SidecarBinary()
	if err != nil {
		return err
	}
	names, err := d.nameImages(binary)
	if err != nil {
		return err
	}
	secrets := d.standInSecrets()
	if d.values {
		if secrets, err = d.hostSecrets(); err != nil {
			return err
		}
	}
	if err := d.checkAgentSocket(); err != nil {
		return err
	}
	o, err := d.hostOptions(ctx)
	if err != nil {
		return err
	}
	return d.write(names, secrets, o)
}

// write makes the units from what the host contributes.
func (d *design) write(names blueprint.Images, secrets blueprint.Secrets, o quadlet.Options) (err error) {
	secrets.EgressCA, secrets.FirewallCA = quadlet.Authorities()
	if d.bottle, err = d.blueprint(names, secrets); err != nil {
		return err
	}
	if d.wanted.Headless {
		o.Headless = &quadlet.Headless{Prompt: d.tree.prompt(), Answer: d.tree.answer(), OnCalendar: d.wanted.OnCalendar}
	}
	// The layer with the workspace is made once, so what lies under it is too.
	if file := d.plan.DockerfilePath; file != "" && !strings.HasPrefix(file, images.Prefix) && d.plan.DerivedImage == "" {
		d.hasBuild = true
		build, err := d.ownImage()
		if err != nil {
			return err
		}
		o.Build = &quadlet.Build{
			Image: build.name, Context: d.tree.build(), Containerfile: filepath.Join(d.tree.build(), build.file),
			Labels: build.labels(), Args: build.args,
		}
	}
	if d.units, err = quadlet.Units(d.bottle, o); err != nil {
		return err
	}
	d.snapshot, err = quadlet.TakeSnapshot(d.bottle, o.Subnet)
	return err
}

// checkCalendar has systemd judge a calendar event. Where its tool is missing, the
// timer's installation tells.
func checkCalendar(ctx context.Context, event string) error {
	if event == "" {
		return nil
	}
	out, err := exec.CommandContext(ctx, "systemd-analyze", "calendar", "--", event).CombinedOutput() // #nosec G204 -- an argument of its own
	if err == nil || errors.Is(err, exec.ErrNotFound) {
		return nil
	}
	return fmt.Errorf("%q is not a calendar event: %s; see systemd.time(7)", event, visible.Lines(string(out))[0])
}

// standInSecrets take the place of values that are not needed.
func (d *design) standInSecrets() blueprint.Secrets {
	s := blueprint.Secrets{Tokens: map[string]secret.Value{}, Identities: map[string]secret.Value{}}
	for slot := range d.plan.Egress.TokenRefs {
		s.Tokens[slot] = secret.New("stand-in")
	}
	for _, u := range d.plan.GitGate.Upstreams {
		if u.IdentityFile != "" {
			s.Identities[u.Name] = secret.New("stand-in")
		}
	}
	return s
}

// checkAgentSocket refuses an ssh agent that ends with the session: its socket
// would be gone after a reboot.
func (d *design) checkAgentSocket() error {
	socket := d.sshAuthSock()
	if socket == "" {
		return nil
	}
	root, err := pod.RuntimeRoot()
	if err != nil {
		return err
	}
	if !strings.HasPrefix(socket, root+"/") {
		return fmt.Errorf("SSH_AUTH_SOCK is %s, which is another at each login; run the agent as a user service (its socket in %s), or name an identity file", socket, root)
	}
	return nil
}

// hostOptions are what the units depend on besides the blueprint and the request.
func (d *design) hostOptions(ctx context.Context) (o quadlet.Options, err error) {
	info, err := d.client.Info()
	if err != nil {
		return o, err
	}
	o = quadlet.Options{
		Podman: d.client.Version(), Home: d.Home,
		Pids: slices.Contains(info.Host.CgroupControllers, "pids"), SELinux: info.Host.Security.SELinuxEnabled,
		Subnet: d.wanted.Subnet, Seccomp: pod.ProfilePath(d.dataDir()),
	}
	if o.Program, err = os.Executable(); err != nil {
		return o, err
	}
	if o.RuntimeRoot, err = pod.RuntimeRoot(); err != nil {
		return o, err
	}
	if d.Root != filepath.Join(d.Home, ".bot-bottle") {
		o.StateRoot = d.Root
	}
	if d.runsc != "" {
		d.wrapper = pod.WrapperPath(d.dataDir())
		o.Runtime = d.wrapper
	}
	if !o.Subnet.IsValid() {
		taken, err := d.takenSubnets(ctx)
		if err != nil {
			return o, err
		}
		if o.Subnet, err = quadlet.Subnet(d.plan.Slug, taken); err != nil {
			return o, err
		}
		d.wanted.Subnet = o.Subnet
	}
	return o, nil
}

// Generate returns the units of a bottle that there is not yet, and leaves nothing behind.
func (l *Launcher) Generate(ctx context.Context, r UnitRequest) (units []quadlet.Unit, err error) {
	if name := r.Spec.Identity; l.OwnedBySystemd(name) {
		return nil, fmt.Errorf("bottle %s is installed, in %s; podbottle quadlet diff %s shows what installing it again would change; say another --name for other units", name, l.quadletDir(name), name)
	}
	client, err := pod.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	r.Overrides = l.overrides()
	d, err := l.design(ctx, client, r, false)
	if err != nil {
		return nil, err
	}
	return d.units, d.close(false)
}
