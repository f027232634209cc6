package manifest

import "strings"

// EnvKind says where a variable's value comes from.
type EnvKind int

// The kinds of variables.
const (
	// EnvLiteral is the text as it is written.
	EnvLiteral EnvKind = iota
	// EnvHost is the value of a variable of the host: ${NAME}.
	EnvHost
	// EnvPrompt is asked for at the start: ?question.
	EnvPrompt
)

// EnvVar is one variable of an agent.
type EnvVar struct {
	Name string
	Kind EnvKind
	// Value is the literal, the name of the host's variable, or the question (which may be empty).
	Value string
}

// ParseEnv reads the value of one env entry. Only a whole ${NAME} names a
// variable of the host; anything with text around it is a literal.
func ParseEnv(name, value string) EnvVar {
	if question, ok := strings.CutPrefix(value, "?"); ok {
		return EnvVar{Name: name, Kind: EnvPrompt, Value: question}
	}
	if inner, ok := strings.CutPrefix(value, "${"); ok {
		if host, ok := strings.CutSuffix(inner, "}"); ok && ValidVariable(host) {
			return EnvVar{Name: name, Kind: EnvHost, Value: host}
		}
	}
	return EnvVar{Name: name, Kind: EnvLiteral, Value: value}
}

func (d *document) env(block Ordered[Text]) ([]EnvVar, error) {
	vars := make([]EnvVar, 0, len(block))
	for _, e := range block {
		n := d.at("env", e.Key)
		if !ValidVariable(e.Key) {
			return nil, d.errorf(n, "env: %q cannot be the name of a variable", e.Key)
		}
		if strings.ContainsRune(string(e.Value), 0) {
			return nil, d.errorf(n, "env.%s: a variable cannot hold a NUL", e.Key)
		}
		vars = append(vars, ParseEnv(e.Key, string(e.Value)))
	}
	return vars, nil
}
