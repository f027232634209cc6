// Package provider knows what an agent's command line needs in its bottle: the
// image, the arguments, the files and variables, and the routes it cannot do
// without. Each provider is one file.
package provider

import (
	"io/fs"

	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/secret"
)

// Plan is what a provider wants of one bottle (the seed's AgentProvisionPlan).
type Plan struct {
	Template   string `json:"template"` // claude | codex | command
	Image      string `json:"image"`
	Dockerfile string `json:"dockerfile,omitempty"`
	// Command is the program and the arguments it always gets.
	Command   []string `json:"command"`
	GuestHome string   `json:"guest_home"`
	// GuestEnv are variables for the agent that hold no secret.
	GuestEnv map[string]string `json:"guest_env"`
	// HiddenEnv are names in GuestEnv or the forwarded variables that the preflight leaves out.
	HiddenEnv []string `json:"hidden_env,omitempty"`
	// Files are put into the agent's home before it starts.
	Files []File `json:"files"`
	// Transcript is the directory in the container in which the program keeps its
	// conversations; empty when it has none that is known.
	Transcript string `json:"transcript,omitempty"`
	// EgressRoutes are merged with the manifest's.
	EgressRoutes []egress.Route `json:"egress_routes"`
	// Tokens holds the values of token_refs that do not come from the host's environment.
	Tokens map[string]secret.Value `json:"-"`
}

// File is one file in the agent's container.
type File struct {
	Path    string      `json:"path"` // absolute, in the container
	Mode    fs.FileMode `json:"mode"` // permission bits
	Content []byte      `json:"-"`    // no secret: the agent can read it
	// StateName is the file's name in the bottle's state directory.
	StateName string `json:"state_name"`
	// Once leaves a file alone that the agent's home already has, as after a resume.
	Once bool `json:"once,omitempty"`
	// Merge puts the values of a JSON object or a TOML table, told apart by the name's
	// ending, over those of a file that is there: the agent's program keeps what it
	// knows in the same file.
	Merge bool `json:"merge,omitempty"`
}

// Session says how the agent is started this time.
type Session struct {
	// PromptFile is the path in the container of the system prompt; empty when there is none.
	PromptFile string
	// Headless runs one prompt, which arrives on standard input, and prints the answer.
	Headless bool
	// Resume continues the last conversation.
	Resume bool
	// RemoteControl passes the provider's remote-control arguments.
	RemoteControl bool
}
