// Package pipelock is the agent firewall of a bottle: the configuration that is
// rendered for pipelock, and which engine reads it. The built-in engine is in
// the package pipelock/firewall.
package pipelock

// Port is where the firewall listens, on the pod's loopback only.
const Port = 8888

// Engine names a program that can be the firewall.
type Engine string

// The engines. Which one runs is always the user's explicit choice.
const (
	EnginePipelock Engine = "pipelock" // github.com/luckyPipewrench/pipelock
	EngineBuiltin  Engine = "builtin"  // podbottle-sidecar firewall
)

// Plan is what resolution decides about the firewall.
type Plan struct {
	Slug string `json:"slug"`
	// ConfigFile is the rendered pipelock YAML in the state directory, mode 0600.
	ConfigFile string `json:"config_file"`
}
