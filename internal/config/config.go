// Package config is the user's configuration, ~/.bot-bottle/config.yaml. Flags
// and environment variables win over it.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"gopkg.in/yaml.v3"

	"github.com/podbottle/podbottle/internal/pipelock"
)

// Config holds the keys of config.yaml.
type Config struct {
	// Path is the file, whether or not it is there.
	Path string `yaml:"-"`

	Firewall Firewall `yaml:"firewall"`
	// RequireRunsc refuses to start an agent on the host's own kernel.
	RequireRunsc bool `yaml:"require_runsc"`
	// Limits are the agent's default limits, as in the flags of the same names.
	Limits Limits `yaml:"limits"`
	Images Images `yaml:"images"`
}

// Firewall chooses the program behind egress.
type Firewall struct {
	Engine pipelock.Engine `yaml:"engine"` // pipelock (the default) | builtin
	Image  string          `yaml:"image"`  // of pipelock
	Binary string          `yaml:"binary"` // a host path of pipelock, instead of an image
}

// Limits bound an agent; empty is podbottle's default, "0" no limit.
type Limits struct {
	Memory string `yaml:"memory"` // such as 4g
	Tasks  int64  `yaml:"tasks"`
	CPUs   string `yaml:"cpus"` // such as 1.5
}

// Images are the bases that podbottle's own images are built on.
type Images struct {
	AgentBase   string `yaml:"agent_base"`    // of claude and codex
	GitGateBase string `yaml:"git_gate_base"` // of git-gate
}

// largest bounds the file.
const largest = 1 << 16

// Load reads config.yaml below root. A file that is not there is the zero
// configuration; an unknown key is an error.
func Load(root string) (Config, error) {
	path := filepath.Join(root, "config.yaml")
	file, err := os.Open(path) // #nosec G304 -- the user's own file
	if errors.Is(err, fs.ErrNotExist) {
		return Config{Path: path}, nil
	}
	if err != nil {
		return Config{}, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, largest+1))
	if err != nil {
		return Config{}, err
	}
	if len(text) > largest {
		return Config{}, fmt.Errorf("%s is larger than %d bytes", path, largest)
	}
	c := Config{Path: path}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return Config{}, readable(path, err)
	}
	return c, c.check(path)
}

// unknownKey is how the YAML library names a key that no field has.
var unknownKey = regexp.MustCompile(`^line (\d+): field (.*) not found in type .*$`)

// readable says what is wrong at which line, without the names of our types.
func readable(path string, err error) error {
	var wrong *yaml.TypeError
	if !errors.As(err, &wrong) || len(wrong.Errors) == 0 {
		return fmt.Errorf("%s: %w", path, err)
	}
	if m := unknownKey.FindStringSubmatch(wrong.Errors[0]); m != nil {
		return fmt.Errorf("%s:%s: unknown key %q", path, m[1], m[2])
	}
	return fmt.Errorf("%s: %s", path, wrong.Errors[0])
}

func (c Config) check(path string) error {
	if c.Firewall.Image != "" && c.Firewall.Binary != "" {
		return fmt.Errorf("%s: firewall.image and firewall.binary exclude each other", path)
	}
	if b := c.Firewall.Binary; b != "" && !filepath.IsAbs(b) {
		return fmt.Errorf("%s: firewall.binary %q is not an absolute path", path, b)
	}
	switch c.Firewall.Engine {
	case "", pipelock.EnginePipelock, pipelock.EngineBuiltin:
		return nil
	}
	return fmt.Errorf("%s: firewall.engine is %q; it can be pipelock or builtin", path, c.Firewall.Engine)
}
