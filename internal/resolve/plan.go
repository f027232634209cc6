// Package resolve turns a specification, a manifest and a view of the host into
// a Plan, as the seed's resolve_plan does. It creates no Podman object; its only
// side effects are files in the state tree.
package resolve

import (
	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/gitgate"
	"github.com/podbottle/podbottle/internal/pipelock"
	"github.com/podbottle/podbottle/internal/provider"
	"github.com/podbottle/podbottle/internal/secret"
	"github.com/podbottle/podbottle/internal/supervise"
)

// PlanVersion is the version of Plan's JSON form.
const PlanVersion = 1

// Spec is what the user asked for (the seed's BottleSpec).
type Spec struct {
	AgentName string `json:"agent_name"`
	// CopyCwd puts a copy of UserCwd into the agent's image.
	CopyCwd bool   `json:"copy_cwd"`
	UserCwd string `json:"user_cwd"`
	// Identity is the slug to continue; empty for a new bottle.
	Identity string `json:"identity"`
	// BottleNames are the bottles for an agent that names none, in order.
	BottleNames []string `json:"bottle_names,omitempty"`
	// AgentFromCwd takes the repository's agent where home has one of the same name.
	AgentFromCwd bool   `json:"agent_from_cwd,omitempty"`
	Label        string `json:"label,omitempty"`
	// Firewall is the engine that the user chose, for the metadata.
	Firewall pipelock.Engine `json:"firewall,omitempty"`
	// Runtime is runsc or crun where the user insisted on one.
	Runtime string `json:"runtime,omitempty"`
}

// Plan is the frozen result: everything that is decided before Podman is asked
// for anything. Its fields are the seed's DockerBottlePlan.
type Plan struct {
	Version  int    `json:"version"`
	Spec     Spec   `json:"spec"`
	StageDir string `json:"stage_dir"`
	Slug     string `json:"slug"`
	// BottleName is the effective bottle's name, for the preflight and for labels.
	BottleName string `json:"bottle_name"`
	// Bottles are all the bottles that went into it, parents first.
	Bottles []string `json:"bottles"`
	// Label is the effective label: of the spec, else the agent, else the bottle.
	Label string `json:"label,omitempty"`
	// AgentFile is where the agent's definition came from.
	AgentFile string `json:"agent_file"`
	// Warnings are sentences for the preflight.
	Warnings []string `json:"warnings,omitempty"`

	ContainerName       string `json:"container_name"`
	ContainerNamePinned bool   `json:"container_name_pinned"`
	Image               string `json:"image"`
	DerivedImage        string `json:"derived_image"`
	RuntimeImage        string `json:"runtime_image"`
	// DockerfilePath is what Image is built from: a host path, or "embedded:images/…" for
	// a provider's own; empty when Image is only ever pulled.
	DockerfilePath string `json:"dockerfile_path"`

	// BuildContext is the host directory that the recipe may copy from; empty for none.
	BuildContext string `json:"build_context,omitempty"`
	// BuildRoot is the directory that no link in BuildContext or DockerfilePath may
	// leave; empty when the user named them by an absolute path.
	BuildRoot string `json:"build_root,omitempty"`

	// EnvFile holds the literals, NAME=VALUE a line, mode 0600.
	EnvFile string `json:"env_file"`
	// Literals are the same variables as EnvFile's.
	Literals map[string]string `json:"literals"`
	// ForwardedEnv are the variables whose values are secrets.
	ForwardedEnv map[string]secret.Value `json:"-"`
	// ForwardedNames are ForwardedEnv's names, sorted.
	ForwardedNames []string `json:"forwarded_env"`
	// PromptFile is the system prompt, mode 0600; may be empty.
	PromptFile string `json:"prompt_file"`
	// Prompt is the same text.
	Prompt string `json:"prompt"`

	Pipelock       pipelock.Plan   `json:"pipelock"`
	GitGate        gitgate.Plan    `json:"git_gate"`
	Egress         egress.Plan     `json:"egress"`
	Supervise      *supervise.Plan `json:"supervise"`
	UseRunsc       bool            `json:"use_runsc"`
	AgentProvision provider.Plan   `json:"agent_provision"`
	// Skills are directories of SkillsDir that are copied into the agent's home.
	Skills    []string `json:"skills"`
	SkillsDir string   `json:"skills_dir"`
	// WorkDir is the directory in the container that the agent starts in.
	WorkDir string `json:"work_dir"`
	// Workspace is the copy of the working directory; nil without --cwd.
	Workspace *Workspace `json:"workspace"`

	preserved bool // the bottle had the preserve marker before
}
