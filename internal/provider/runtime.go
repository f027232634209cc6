package provider

import (
	"fmt"
	"strings"
	"time"

	"github.com/podbottle/podbottle/internal/egress"
)

// CABundle is where the agent finds the certificates that it trusts.
const CABundle = "/run/podbottle/ca-bundle.crt"

// Placeholder is the value of a credential variable that only makes an agent start.
const Placeholder = "egress-placeholder"

// Config is agent_provider of a bottle.
type Config struct {
	Template               string
	Dockerfile             string // as written; empty for none
	ForwardHostCredentials bool
	AuthToken              string // name of a variable of the host
	Image                  string
	Command                []string
}

// Runtime is what is known of a provider before a bottle asks for it (the seed's runtime table).
type Runtime struct {
	Template string
	Image    string
	// Dockerfile is "embedded:images/…"; empty when the image is only ever pulled.
	Dockerfile string
	// AuthRole is the role of a route that carries the agent's own credential; empty for none.
	AuthRole string
	// PlaceholderEnv is the variable that makes the agent start without a credential.
	PlaceholderEnv string
	// Roles are the roles that a route of such a bottle may have, each at most once.
	Roles []string
}

// Input is what a provider decides from.
type Input struct {
	Config Config
	// Image and Dockerfile are those that the image cascade chose.
	Image      string
	Dockerfile string
	GuestHome  string // the agent's home in the container
	WorkDir    string // the directory that it starts in
	// Guide is the path of the file that tells the agent what its bottle allows.
	Guide string
	// MCPServer is the URL of the supervise MCP server, which the agent reaches without
	// a proxy; empty when the bottle is not supervised.
	MCPServer string
	// HasProviderAuth says that a route carries the agent's own credential.
	HasProviderAuth bool
	LookupEnv       func(string) (string, bool)
	HostHome        string
	Now             time.Time
}

// definition is one provider; each is made in a file of its own.
type definition struct {
	runtime Runtime
	// check refuses a configuration that the provider has no meaning for.
	check func(Config) error
	// provision fills in what is particular to the provider.
	provision func(Input, *Plan) error
	argv      func(Plan, Session) ([]string, error)
}

func definitions() []definition {
	return []definition{claude(), codex(), command()}
}

// Templates are the names that agent_provider.template may have.
func Templates() []string {
	var names []string
	for _, d := range definitions() {
		names = append(names, d.runtime.Template)
	}
	return names
}

// RoleNames are the roles of all providers.
func RoleNames() []string {
	var roles []string
	for _, d := range definitions() {
		roles = append(roles, d.runtime.Roles...)
	}
	return roles
}

func find(template string) (definition, error) {
	for _, d := range definitions() {
		if d.runtime.Template == template {
			return d, nil
		}
	}
	return definition{}, fmt.Errorf("agent_provider.template is %q; it is one of: %s", template, strings.Join(Templates(), ", "))
}

// RuntimeFor checks a configuration and gives the provider's runtime.
func RuntimeFor(c Config) (Runtime, error) {
	d, err := find(c.Template)
	if err != nil {
		return Runtime{}, err
	}
	if err := d.check(c); err != nil {
		return Runtime{}, err
	}
	runtime := d.runtime
	if c.Image != "" {
		runtime.Image = c.Image
	}
	return runtime, nil
}

// New decides what the provider needs in one bottle (the seed's agent_provision_plan).
func New(in Input) (Plan, error) {
	d, err := find(in.Config.Template)
	if err != nil {
		return Plan{}, err
	}
	plan := Plan{
		Template:     in.Config.Template,
		Image:        in.Image,
		Dockerfile:   in.Dockerfile,
		GuestHome:    in.GuestHome,
		GuestEnv:     map[string]string{},
		Files:        []File{},
		EgressRoutes: []egress.Route{},
	}
	if err := d.provision(in, &plan); err != nil {
		return Plan{}, err
	}
	return plan, nil
}

// Argv is the command line that starts the agent.
func Argv(plan Plan, s Session) ([]string, error) {
	d, err := find(plan.Template)
	if err != nil {
		return nil, err
	}
	if s.RemoteControl && s.Headless {
		return nil, fmt.Errorf("--remote-control needs a terminal session, not --headless")
	}
	return d.argv(plan, s)
}

// MCPServerName is the name under which an agent knows the supervise MCP server.
const MCPServerName = "supervise"

// pointer is what an agent's own instructions say of the guide.
func pointer(in Input) []byte {
	return []byte("You run in a bottle, a sandbox with little network. Read " + in.Guide + " before you use the network, git or a program that is missing: " +
		"it says what is allowed and how to ask for more.\n")
}

// onlyFor makes the error for a key of agent_provider that another template has.
func onlyFor(key, templates string) error {
	return fmt.Errorf("agent_provider.%s is only for the template %s; remove it", key, templates)
}

// EmbeddedImages are the templates whose image is built from a recipe of podbottle's own.
func EmbeddedImages() []string {
	var names []string
	for _, d := range definitions() {
		if d.runtime.Dockerfile != "" {
			names = append(names, d.runtime.Template)
		}
	}
	return names
}

// Image is the name of a template's image; empty when it has none of its own.
func Image(template string) string {
	d, err := find(template)
	if err != nil {
		return ""
	}
	return d.runtime.Image
}
