package supervise

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"gopkg.in/yaml.v3"

	"github.com/podbottle/podbottle/internal/egress"
)

// Ask is what a proposal asks of egress, in the form in which an operator may
// change it before he approves.
type Ask struct {
	EgressRequest `yaml:",inline"`
	// Port is the one port besides 443 and 80; 0 for none.
	Port int `json:"port,omitempty" yaml:"port,omitempty"`
}

// Ask returns what the proposal asks of egress. A capability-block proposal asks for nothing there.
func (p Proposal) Ask() (Ask, error) {
	switch {
	case p.Egress != nil:
		return Ask{EgressRequest: *p.Egress}, nil
	case p.Pipelock != nil:
		t, err := p.Pipelock.parse()
		if err != nil {
			return Ask{}, err
		}
		ask := Ask{EgressRequest: EgressRequest{Host: t.host}, Port: t.port}
		if t.path != "/" {
			ask.PathAllowlist = []string{t.path}
		}
		return ask, nil
	}
	return Ask{}, errors.New("the proposal asks for an image, not for a route")
}

// YAML is the text that an operator edits.
func (a Ask) YAML() ([]byte, error) { return yaml.Marshal(a) }

// ParseAsk reads an edited Ask and checks it as strictly as what an agent sends.
func ParseAsk(text []byte) (Ask, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	var a Ask
	if err := decoder.Decode(&a); err != nil {
		return Ask{}, fmt.Errorf("modified proposal: %w", err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return Ask{}, errors.New("modified proposal: more than one document")
	}
	if a.Port < 0 || a.Port > 65535 {
		return Ask{}, errors.New("modified proposal: port out of range")
	}
	if err := a.validate(); err != nil {
		return Ask{}, fmt.Errorf("modified proposal: %w", err)
	}
	return a, nil
}

// match is the alternative that a route gains.
func (a Ask) match() egress.Match {
	m := egress.Match{Methods: a.Methods}
	for _, path := range a.PathAllowlist {
		m.Paths = append(m.Paths, egress.PathMatch{Type: "prefix", Value: path})
	}
	return m
}
