package resolve

import (
	"strings"
	"unicode/utf8"

	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/gitgate"
	"github.com/podbottle/podbottle/internal/manifest"
	"github.com/podbottle/podbottle/internal/provider"
)

// Description is what the manifest says of an agent, without a bottle being
// made: nothing is asked for, looked up or written.
type Description struct {
	Agent      string `json:"agent"`
	File       string `json:"file"`
	Bottle     string `json:"bottle"`
	BottleFile string `json:"bottle_file,omitempty"` // of a single bottle
	// Bottles are all that went into Bottle, parents first.
	Bottles  []string `json:"bottles"`
	Label    string   `json:"label,omitempty"`
	Provider string   `json:"provider"`
	Image    string   `json:"image"`
	// Command is the bottle's own, of the template command.
	Command    []string `json:"command,omitempty"`
	Dockerfile string   `json:"dockerfile,omitempty"`
	// Env holds names and where the values come from, never values.
	Env          []EnvDescription   `json:"env"`
	Skills       []string           `json:"skills"`
	PromptStart  string             `json:"prompt_start"`  // the first line
	PromptLength int                `json:"prompt_length"` // characters
	GitUser      gitgate.User       `json:"git_user"`
	Remotes      []gitgate.Upstream `json:"remotes"`
	Routes       []egress.Route     `json:"routes"`
	Supervise    bool               `json:"supervise"`
	// Problems are what would make a start fail, as far as it shows without one.
	Problems []string `json:"problems"`
}

// EnvDescription is one variable without its value.
type EnvDescription struct {
	Name string `json:"name"`
	// Kind is literal, host or prompt.
	Kind string `json:"kind"`
	// Source is the host's variable or the question.
	Source string `json:"source,omitempty"`
}

// Describe reads an agent and its bottle. An error means that the files
// themselves are wrong; what the host lacks is listed in Problems.
func Describe(host Host, ix *manifest.Index, spec Spec) (*Description, error) {
	agent, err := ix.Agent(spec.AgentName, spec.AgentFromCwd)
	if err != nil {
		return nil, err
	}
	bottle, err := ix.BottleFor(agent, spec.BottleNames)
	if err != nil {
		return nil, err
	}
	first, _, _ := strings.Cut(agent.Prompt, "\n")
	d := &Description{
		Agent: agent.Name, File: agent.File, Bottle: bottle.Name, Bottles: bottle.Chain,
		Label:    firstOf(spec.Label, agent.Label, bottle.Label),
		Provider: bottle.AgentProvider.Template, Skills: agent.Skills,
		PromptStart: first, PromptLength: utf8.RuneCountInString(agent.Prompt),
		GitUser: gitUser(agent, bottle), Remotes: liftRemotes(host, bottle.Remotes), Routes: liftRoutes(bottle.Routes),
		Supervise: bottle.Supervise,
		Env:       []EnvDescription{}, Problems: []string{},
	}
	if !strings.Contains(bottle.Name, "+") {
		d.BottleFile = ix.BottleFile(bottle.Name)
	}
	d.describeEnv(bottle.Env)
	d.describeProvider(host, bottle, spec)
	d.problem(checkSkills(host, agent.Skills))
	d.problem(checkKeys(host, bottle.Name, d.Remotes))
	return d, nil
}

func (d *Description) problem(err error) {
	if err != nil {
		d.Problems = append(d.Problems, err.Error())
	}
}

func (d *Description) describeEnv(vars []manifest.EnvVar) {
	for _, v := range vars {
		e := EnvDescription{Name: v.Name, Kind: "literal"}
		switch v.Kind {
		case manifest.EnvHost:
			e.Kind, e.Source = "host", v.Value
		case manifest.EnvPrompt:
			e.Kind, e.Source = "prompt", v.Value
		case manifest.EnvLiteral:
		}
		d.Env = append(d.Env, e)
	}
}

// describeProvider adds the image and the routes that the provider wants.
func (d *Description) describeProvider(host Host, bottle *manifest.Bottle, spec Spec) {
	config := provider.Config(bottle.AgentProvider)
	runtime, err := provider.RuntimeFor(config)
	if err != nil {
		d.problem(err)
		return
	}
	d.problem(checkRoutes(bottle.Routes, runtime))
	d.Image, d.Dockerfile, d.Command = runtime.Image, runtime.Dockerfile, config.Command
	if config.Dockerfile != "" {
		d.Image, d.Dockerfile = "bot-bottle-"+config.Template+":<slug>", host.expand(config.Dockerfile, spec.UserCwd)
	}
	plan, err := provider.New(provider.Input{
		Config: config, Image: d.Image, Dockerfile: d.Dockerfile, LookupEnv: host.LookupEnv, HostHome: host.Home, Now: host.Now(),
	})
	if err != nil {
		d.problem(err)
		return
	}
	routes, err := mergeRoutes(d.Routes, plan.EgressRoutes)
	if err != nil {
		d.problem(err)
		return
	}
	d.Routes = routes
}
