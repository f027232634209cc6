// Package pipelock is the agent firewall of a bottle: the configuration that is
// rendered for pipelock, and which engine reads it. The built-in engine is in
// the package pipelock/firewall.
package pipelock

import (
	"fmt"

	"gopkg.in/yaml.v3"

	"github.com/podbottle/podbottle/internal/egress"
)

// Port is where the firewall listens, on the pod's loopback only.
const Port = 8888

const listenAddress = "127.0.0.1:8888"

// Engine names a program that can be the firewall.
type Engine string

// The engines. Which one runs is always the user's explicit choice.
const (
	EnginePipelock Engine = "pipelock" // github.com/luckyPipewrench/pipelock
	EngineBuiltin  Engine = "builtin"  // podbottle-sidecar firewall
)

// DefaultImage is the image of the real pipelock.
const DefaultImage = "ghcr.io/luckypipewrench/pipelock:" + Version

// BinaryPath is where the real pipelock is: in its own image, and as the target
// of the mount when a host's binary runs in the sidecar image.
const BinaryPath = "/pipelock"

// Plan is what resolution decides about the firewall.
type Plan struct {
	Slug string `json:"slug"`
	// ConfigFile is the rendered pipelock YAML in the state directory, mode 0600.
	ConfigFile string `json:"config_file"`
	// Routes are the effective routes that the configuration is made from.
	Routes []egress.Route `json:"-"`
}

// ConfigFiles renders what the sidecar reads in its configuration directory. The
// trusted roots (RootsFile) are the host's and are added by the caller.
func (p Plan) ConfigFiles() (map[string][]byte, error) {
	config, err := NewConfig(p.Routes).Marshal()
	if err != nil {
		return nil, err
	}
	ranges, err := yaml.Marshal(NewHostRanges(p.Routes))
	if err != nil {
		return nil, fmt.Errorf("ranges of the hosts: %w", err)
	}
	return map[string][]byte{ConfigFile: config, RangesFile: ranges}, nil
}

// Args is the command line of the built-in engine.
func (p Plan) Args() []string {
	return []string{"firewall", "--slug", p.Slug, "--listen", listenAddress}
}

// EngineArgs is the command line of the real pipelock.
func (Plan) EngineArgs() []string {
	return []string{"run", "--home", stateDir, "--config", configDir + "/" + ConfigFile, "--listen", listenAddress}
}
