package resolve

import (
	"fmt"
	"strings"

	"github.com/podbottle/podbottle/internal/manifest"
	"github.com/podbottle/podbottle/internal/secret"
)

// environment is a bottle's env with its values: literals may be shown and
// written, forwarded ones may not.
type environment struct {
	literals  []manifest.EnvVar
	forwarded map[string]secret.Value
}

// resolveEnv looks up and asks for what the literals do not say. Errors name variables only.
func resolveEnv(host Host, vars []manifest.EnvVar) (environment, error) {
	env := environment{forwarded: map[string]secret.Value{}}
	for _, v := range vars {
		switch {
		case v.Kind == manifest.EnvLiteral:
			env.literals = append(env.literals, v)
		case host.StandIns:
			env.forwarded[v.Name] = secret.New("stand-in")
		case v.Kind == manifest.EnvHost:
			value, ok := host.LookupEnv(v.Value)
			if !ok {
				return environment{}, fmt.Errorf("env entry %s: the variable %s is not set on the host; export it first", v.Name, v.Value)
			}
			env.forwarded[v.Name] = secret.New(value)
		case v.Kind == manifest.EnvPrompt:
			if host.Prompt == nil {
				return environment{}, fmt.Errorf("env entry %s has to be asked for and there is no terminal; "+
					"run podbottle in one, or write ${%s} in the bottle and export it", v.Name, v.Name)
			}
			value, err := host.Prompt(v.Name, v.Value)
			if err != nil {
				return environment{}, fmt.Errorf("env entry %s: %w", v.Name, err)
			}
			env.forwarded[v.Name] = value
		}
	}
	return env, nil
}

// envFile is the literals in the syntax of podman's --env-file.
func envFile(literals []manifest.EnvVar) ([]byte, error) {
	var b strings.Builder
	for _, v := range literals {
		if strings.ContainsAny(v.Value, "\n\r") {
			return nil, fmt.Errorf("env entry %s (literal) contains a newline; podman --env-file cannot represent multi-line values", v.Name)
		}
		b.WriteString(v.Name + "=" + v.Value + "\n")
	}
	return []byte(b.String()), nil
}
