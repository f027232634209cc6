package resolve

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/gitgate"
	"github.com/podbottle/podbottle/internal/manifest"
	"github.com/podbottle/podbottle/internal/pipelock"
	"github.com/podbottle/podbottle/internal/provider"
	"github.com/podbottle/podbottle/internal/secret"
	"github.com/podbottle/podbottle/internal/state"
	"github.com/podbottle/podbottle/internal/supervise"
)

// Backend is what the metadata calls this implementation.
const Backend = "podman"

// inputs are what a plan is made from, read and checked before anything is written.
type inputs struct {
	agent     *manifest.Agent
	bottle    *manifest.Bottle
	config    provider.Config
	runtime   provider.Runtime
	upstreams []gitgate.Upstream
}

// Resolve decides everything about a bottle before Podman is asked for anything
// but the existence of names, in the order of the seed's resolve_plan. It writes
// files below host.Root only. When it fails it leaves nothing of a new bottle,
// and a bottle that is resumed stays preserved.
func Resolve(_ context.Context, host Host, ix *manifest.Index, spec Spec) (*Plan, error) {
	in, err := readInputs(host, ix, spec)
	if err != nil {
		return nil, err
	}
	slug := spec.Identity
	if slug == "" {
		if slug, err = newIdentity(host, spec.AgentName); err != nil {
			return nil, err
		}
	}
	tree, err := state.Of(host.Root, slug)
	if err != nil {
		return nil, err
	}
	if host.Claim != nil {
		if err := host.Claim(slug); err != nil {
			return nil, err
		}
	}
	preserved := state.Preserved(host.Root, slug)
	plan := &Plan{
		Version:    PlanVersion,
		Spec:       spec,
		StageDir:   host.StageDir,
		Slug:       slug,
		BottleName: in.bottle.Name,
		Bottles:    in.bottle.Chain,
		Label:      firstOf(spec.Label, in.agent.Label, in.bottle.Label),
		AgentFile:  in.agent.File,
		Warnings:   slices.Clone(ix.Warnings()),
		Skills:     in.agent.Skills,
		SkillsDir:  skillsDir(host),
		Prompt:     in.agent.Prompt,
		UseRunsc:   host.RunscAvailable,
		preserved:  preserved,
	}
	if err := plan.fill(host, tree, in); err != nil {
		return nil, errors.Join(err, Abandon(host.Root, plan, os.RemoveAll))
	}
	return plan, nil
}

// Abandon undoes what Resolve wrote, for a plan that is not launched: a new
// bottle's state is removed, a resumed bottle is preserved again if it was. Of a
// bottle whose start failed only removeAll may be able to delete what its sidecars wrote.
func Abandon(root string, plan *Plan, removeAll func(path string) error) error {
	switch {
	case plan.Spec.Identity == "":
		return state.RemoveUsing(root, plan.Slug, removeAll)
	case plan.preserved:
		return state.SetPreserve(root, plan.Slug)
	}
	return nil
}

// readInputs is the seed's validation: agent, bottle, provider, skills and keys are there.
func readInputs(host Host, ix *manifest.Index, spec Spec) (inputs, error) {
	var in inputs
	var err error
	if in.agent, err = ix.Agent(spec.AgentName, spec.AgentFromCwd); err != nil {
		return in, err
	}
	if in.bottle, err = ix.BottleFor(in.agent, spec.BottleNames); err != nil {
		return in, err
	}
	in.config = provider.Config(in.bottle.AgentProvider)
	if in.runtime, err = provider.RuntimeFor(in.config); err != nil {
		return in, fmt.Errorf("bottle %s: %w", in.bottle.Name, err)
	}
	if err := checkRoutes(in.bottle.Routes, in.runtime); err != nil {
		return in, err
	}
	if err := checkSkills(host, in.agent.Skills); err != nil {
		return in, err
	}
	in.upstreams = liftRemotes(host, in.bottle.Remotes)
	return in, checkKeys(host, in.bottle.Name, in.upstreams)
}

// fill goes through the seed's steps.
func (p *Plan) fill(host Host, tree state.Tree, in inputs) error {
	if err := p.writeMetadata(host); err != nil {
		return err
	}
	if err := state.ClearPreserve(host.Root, p.Slug); err != nil {
		return err
	}
	images, err := chooseImages(host, p.Spec, p.Slug, in.config, in.runtime)
	if err != nil {
		return err
	}
	p.Image, p.DerivedImage, p.RuntimeImage, p.DockerfilePath = images.image, images.derived, images.runtime, images.dockerfile
	p.BuildContext, p.BuildRoot = images.context, images.root
	if p.ContainerName, p.ContainerNamePinned, err = chooseContainer(host, p.Slug); err != nil {
		return err
	}
	if err := refuseOrphan(host, p.Slug); err != nil {
		return err
	}
	for _, dir := range []string{tree.Agent(), tree.GitGate(), tree.Pipelock(), tree.Egress()} {
		if err := state.MakeDir(dir); err != nil {
			return err
		}
	}
	p.EnvFile, p.PromptFile = tree.EnvFile(), tree.PromptFile()
	p.GitGate = gitgate.Plan{Slug: p.Slug, Upstreams: in.upstreams, User: gitUser(in.agent, in.bottle)}
	if len(in.upstreams) > 0 {
		if err := writeConfig(tree.GitGate(), p.GitGate); err != nil {
			return fmt.Errorf("bottle %s: %w", in.bottle.Name, err)
		}
		for _, name := range p.GitGate.Unpinned() {
			p.Warnings = append(p.Warnings, fmt.Sprintf("git remote %s has no host key, so git-gate will refuse to contact it; pin one in bottle %s", name, in.bottle.Name))
		}
	}

	env, err := resolveEnv(host, in.bottle.Env)
	if err != nil {
		return err
	}
	hasAuth := slices.ContainsFunc(in.bottle.Routes, func(r manifest.Route) bool {
		return in.runtime.AuthRole != "" && slices.Contains(r.Roles, in.runtime.AuthRole)
	})
	if err := p.writeEnv(env, in, hasAuth); err != nil {
		return err
	}
	if err := state.WriteDraft(p.PromptFile, []byte(p.Prompt)); err != nil {
		return err
	}
	if err := p.provision(host, tree, in, hasAuth); err != nil {
		return err
	}
	if err := p.prepareWayOut(tree, in); err != nil {
		return err
	}
	if in.bottle.Supervise {
		return p.prepareSupervise(host, tree)
	}
	return nil
}

func (p *Plan) writeMetadata(host Host) error {
	m := state.Metadata{
		Identity:       p.Slug,
		AgentName:      p.Spec.AgentName,
		CopyCwd:        p.Spec.CopyCwd,
		Started:        host.Now().UTC(),
		ComposeProject: "bot-bottle-" + p.Slug,
		Backend:        Backend,
		Firewall:       string(p.Spec.Firewall),
		Runtime:        p.Spec.Runtime,
		Label:          p.Spec.Label,
		UserCwd:        p.Spec.UserCwd,
		BottleNames:    p.Spec.BottleNames,
		AgentFromCwd:   p.Spec.AgentFromCwd,
	}
	if p.Spec.CopyCwd {
		m.Cwd = p.Spec.UserCwd
	}
	return state.WriteMetadata(host.Root, m)
}

// writeEnv splits the environment into the file of literals and the forwarded
// values, which are in the plan's memory only.
func (p *Plan) writeEnv(env environment, in inputs, hasAuth bool) error {
	p.Literals = map[string]string{}
	for _, v := range env.literals {
		p.Literals[v.Name] = v.Value
	}
	p.ForwardedEnv = env.forwarded
	if (hasAuth || in.config.AuthToken != "") && in.runtime.PlaceholderEnv != "" {
		p.ForwardedEnv[in.runtime.PlaceholderEnv] = secret.New(provider.Placeholder)
	}
	p.ForwardedNames = slices.AppendSeq([]string{}, maps.Keys(p.ForwardedEnv))
	slices.Sort(p.ForwardedNames)
	content, err := envFile(env.literals)
	if err != nil {
		return err
	}
	return state.WriteDraft(p.EnvFile, content)
}

// defaultHome is the agent's home in the container.
const defaultHome = "/home/node"

// provision asks the provider what it needs and keeps its files in the agent's state.
func (p *Plan) provision(host Host, tree state.Tree, in inputs, hasAuth bool) (err error) {
	home := host.env("BOT_BOTTLE_CONTAINER_HOME", defaultHome)
	if !path.IsAbs(home) || path.Clean(home) != home {
		return fmt.Errorf("BOT_BOTTLE_CONTAINER_HOME is %q; it must be an absolute path without dot segments", home)
	}
	p.WorkDir = home
	if p.Spec.CopyCwd {
		p.WorkDir = path.Join(home, "workspace")
		p.Workspace, err = measureWorkspace(host, p.Spec.UserCwd)
		switch {
		case errors.Is(err, os.ErrNotExist) && p.Spec.Identity != "":
			// The copy is in the agent's home by now.
			p.DerivedImage, p.RuntimeImage = "", p.Image
			p.Warnings = append(p.Warnings, fmt.Sprintf("%s is gone; the agent keeps its copy", p.Spec.UserCwd))
		case err != nil:
			return err
		}
	}
	input := provider.Input{
		Config: in.config, Image: p.Image, Dockerfile: p.DockerfilePath, GuestHome: home, WorkDir: p.WorkDir, Guide: path.Join(home, GuideFile),
		HasProviderAuth: hasAuth, LookupEnv: host.LookupEnv, HostHome: host.Home, Now: host.Now(),
	}
	if in.bottle.Supervise {
		input.MCPServer = supervise.URL
	}
	p.AgentProvision, err = provider.New(input)
	if err != nil {
		return err
	}
	for _, f := range p.AgentProvision.Files {
		if err := state.WriteDraft(filepath.Join(tree.Agent(), f.StateName), f.Content); err != nil {
			return err
		}
	}
	return nil
}

// prepareWayOut merges the routes and writes what egress and the firewall read.
func (p *Plan) prepareWayOut(tree state.Tree, in inputs) error {
	routes, err := mergeRoutes(liftRoutes(in.bottle.Routes), p.AgentProvision.EgressRoutes)
	if err != nil {
		return fmt.Errorf("bottle %s: %w", in.bottle.Name, err)
	}
	refs := assignSlots(routes)
	p.Egress = egress.Plan{Slug: p.Slug, RoutesFile: filepath.Join(tree.Egress(), egress.RoutesFile), Routes: routes, TokenRefs: refs}
	p.Pipelock = pipelock.Plan{Slug: p.Slug, ConfigFile: filepath.Join(tree.Pipelock(), pipelock.ConfigFile), Routes: routes}
	if err := writeConfig(tree.Egress(), p.Egress); err != nil {
		return fmt.Errorf("bottle %s: %w", in.bottle.Name, err)
	}
	return writeConfig(tree.Pipelock(), p.Pipelock)
}

// writeConfig keeps what a sidecar will read in the bottle's state, for the user to look at.
func writeConfig(dir string, sidecar interface {
	ConfigFiles() (map[string][]byte, error)
},
) error {
	files, err := sidecar.ConfigFiles()
	if err != nil {
		return err
	}
	for name, content := range files {
		if err := state.WriteDraft(filepath.Join(dir, name), content); err != nil {
			return err
		}
	}
	return nil
}

// prepareSupervise makes the queue and shows the agent the recipe of its own
// image, which is what a capability-block proposal changes.
func (p *Plan) prepareSupervise(host Host, tree state.Tree) error {
	p.Supervise = &supervise.Plan{
		Slug:             p.Slug,
		QueueDir:         tree.Queue(),
		CurrentConfigDir: tree.CurrentConfig(),
	}
	if err := supervise.CreateQueue(p.Supervise.QueueDir); err != nil {
		return err
	}
	if err := state.MakeDir(p.Supervise.CurrentConfigDir); err != nil {
		return err
	}
	recipe, err := p.currentRecipe(host)
	if err != nil {
		return err
	}
	return state.WriteDraft(p.Supervise.ContainerfilePath(), recipe)
}

func firstOf(texts ...string) string {
	for _, s := range texts {
		if s != "" {
			return s
		}
	}
	return ""
}
