package manifest

import (
	"reflect"

	"gopkg.in/yaml.v3"
)

// Names is one name or a list of names.
type Names []string

// UnmarshalYAML implements yaml.Unmarshaler.
func (s *Names) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.SequenceNode {
		return n.Decode((*[]string)(s))
	}
	if isNull(n) || n.Value == "" {
		return nil
	}
	*s = Names{n.Value}
	return nil
}

// Text is a scalar taken exactly as it is written: 8080, yes and 1.10 are texts too.
type Text string

// UnmarshalYAML implements yaml.Unmarshaler.
func (t *Text) UnmarshalYAML(n *yaml.Node) error {
	*t = Text(n.Value)
	return nil
}

// Ignored is a value that another program reads.
type Ignored struct{}

// UnmarshalYAML implements yaml.Unmarshaler.
func (*Ignored) UnmarshalYAML(*yaml.Node) error { return nil }

// Ordered is a mapping with free keys that keeps the order of the file.
type Ordered[T any] []Entry[T]

// Entry is one key of an Ordered with its value.
type Entry[T any] struct {
	Key   string
	Value T
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (o *Ordered[T]) UnmarshalYAML(n *yaml.Node) error {
	for i := 0; i+1 < len(n.Content); i += 2 {
		e := Entry[T]{Key: n.Content[i].Value}
		if err := n.Content[i+1].Decode(&e.Value); err != nil {
			return err
		}
		*o = append(*o, e)
	}
	return nil
}

// ordered is what every Ordered is, whatever its values.
type ordered interface{ elem() reflect.Type }

func (Ordered[T]) elem() reflect.Type { return reflect.TypeFor[T]() }

// MarshalYAML implements yaml.Marshaler: the form in which it is read.
func (o Ordered[T]) MarshalYAML() (any, error) {
	mapping := &yaml.Node{Kind: yaml.MappingNode}
	for _, e := range o {
		var key, value yaml.Node
		key.SetString(e.Key)
		if err := value.Encode(e.Value); err != nil {
			return nil, err
		}
		mapping.Content = append(mapping.Content, &key, &value)
	}
	return mapping, nil
}

// MarshalYAML implements yaml.Marshaler: one name is written without a list.
func (s Names) MarshalYAML() (any, error) {
	if len(s) == 1 {
		return s[0], nil
	}
	return []string(s), nil
}
