package manifest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
	"gopkg.in/yaml.v3"
)

// decode checks the front matter against the type of into and fills it. The Go
// type is the whole description of the file's shape: unknown keys, doubled keys
// and wrong kinds of values are refused with their line.
func (d *document) decode(into any) error {
	if d.root == nil {
		return nil
	}
	if err := d.check(d.root, reflect.TypeOf(into).Elem(), ""); err != nil {
		return err
	}
	if err := d.root.Decode(into); err != nil {
		return d.syntaxError(err)
	}
	return nil
}

// check compares one node with the type that it is to be decoded into. name is
// the dotted name of the key for messages; empty at the top.
func (d *document) check(n *yaml.Node, t reflect.Type, name string) error {
	if o, ok := reflect.Zero(t).Interface().(ordered); ok {
		return d.checkOrdered(n, o.elem(), name)
	}
	switch reflect.Zero(t).Interface().(type) {
	case Names:
		if n.Kind == yaml.SequenceNode {
			return d.checkList(n, reflect.TypeFor[string](), name)
		}
		return d.checkString(n, name)
	case Text:
		if n.Kind != yaml.ScalarNode || isNull(n) {
			return d.errorf(n, "%s must be a text; an empty one is written \"\"", name)
		}
		return nil
	case Ignored:
		return nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		return d.check(n, t.Elem(), name)
	case reflect.Struct:
		return d.checkMapping(n, t, name)
	case reflect.Slice:
		return d.checkList(n, t.Elem(), name)
	case reflect.Bool:
		if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
			return d.errorf(n, "%s must be true or false", name)
		}
	case reflect.String:
		return d.checkString(n, name)
	default:
		panic(fmt.Sprintf("manifest: no check for %v", t))
	}
	return nil
}

func (d *document) checkString(n *yaml.Node, name string) error {
	if n.Kind != yaml.ScalarNode || (n.Tag != "!!str" && !isNull(n)) {
		return d.errorf(n, "%s must be a text; put it in quotes if it looks like a number", name)
	}
	return nil
}

func (d *document) checkList(n *yaml.Node, elem reflect.Type, name string) error {
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		return d.errorf(n, "%s must be a list", name)
	}
	for i, item := range n.Content {
		itemName := fmt.Sprintf("%s[%d]", name, i)
		if isNull(item) {
			return d.errorf(item, "%s is empty", itemName)
		}
		if err := d.check(item, elem, itemName); err != nil {
			return err
		}
	}
	return nil
}

func (d *document) checkMapping(n *yaml.Node, t reflect.Type, name string) error {
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		return d.errorf(n, "%s must be keys with values", name)
	}
	fields := yamlFields(t)
	return d.eachKey(n, name, func(key, value *yaml.Node) error {
		field, ok := fields[key.Value]
		if !ok {
			return d.unknownKey(key, t, name)
		}
		return d.check(value, field, join(name, key.Value))
	})
}

func (d *document) checkOrdered(n *yaml.Node, elem reflect.Type, name string) error {
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		return d.errorf(n, "%s must be names with values", name)
	}
	return d.eachKey(n, name, func(key, value *yaml.Node) error {
		return d.check(value, elem, join(name, key.Value))
	})
}

// eachKey calls f for each key of a mapping and refuses keys that are no text or come twice.
func (d *document) eachKey(n *yaml.Node, name string, f func(key, value *yaml.Node) error) error {
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || isNull(key) {
			return d.errorf(key, "a key of %s is not a text", nameOr(name, "the front matter"))
		}
		if line, ok := lines[key.Value]; ok {
			return d.errorf(key, "the key %q is already in line %d", key.Value, line)
		}
		lines[key.Value] = key.Line
		if err := f(key, value); err != nil {
			return err
		}
	}
	return nil
}

// withRemovedKeys is a shape that knows what became of keys it once had.
type withRemovedKeys interface{ removedKeys() map[string]string }

func (d *document) unknownKey(key *yaml.Node, t reflect.Type, name string) error {
	if shape, ok := reflect.Zero(t).Interface().(withRemovedKeys); ok {
		if hint, removed := shape.removedKeys()[key.Value]; removed {
			return d.errorf(key, "the key %q is not allowed: %s", key.Value, hint)
		}
	}
	known := make([]string, 0, t.NumField())
	for k := range yamlFields(t) {
		known = append(known, k)
	}
	slices.Sort(known)
	where := ""
	if name != "" {
		where = " in " + name
	}
	if near := nearest(key.Value, known); near != "" {
		return d.errorf(key, "unknown key %q%s: did you mean %q? Known are: %s", key.Value, where, near, strings.Join(known, ", "))
	}
	return d.errorf(key, "unknown key %q%s; known are: %s", key.Value, where, strings.Join(known, ", "))
}

// nearest returns the known word that word was most likely meant to be, or "".
func nearest(word string, known []string) string {
	const maxWord = 64
	best, bestDistance := "", 3
	if len(word) > maxWord {
		return ""
	}
	for _, k := range known {
		if d := levenshtein.ComputeDistance(strings.ToLower(word), strings.ToLower(k)); d < bestDistance && d < len(k) {
			best, bestDistance = k, d
		}
	}
	return best
}

// yamlFields maps the keys of a struct to the types of its fields.
func yamlFields(t reflect.Type) map[string]reflect.Type {
	fields := make(map[string]reflect.Type, t.NumField())
	for f := range t.Fields() {
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if key != "-" {
			fields[key] = f.Type
		}
	}
	return fields
}

func join(name, key string) string {
	if name == "" {
		return key
	}
	return name + "." + key
}

func nameOr(name, other string) string {
	if name == "" {
		return other
	}
	return name
}
