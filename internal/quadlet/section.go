package quadlet

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// file is a unit under construction. Its methods write one key each, in the
// escaping that the key has; the first value that cannot be written is kept as
// the error of the whole.
type file struct {
	text strings.Builder
	err  error
}

// section begins a section.
func (f *file) section(name string) {
	if f.text.Len() > 0 {
		f.text.WriteByte('\n')
	}
	f.text.WriteString("[" + name + "]\n")
}

// comment writes lines of our own text; never a value.
func (f *file) comment(lines ...string) {
	for _, line := range lines {
		f.text.WriteString("# " + line + "\n")
	}
}

// line writes a value that is complete: our own words, or an escaped one.
func (f *file) line(key, value string) { f.text.WriteString(key + "=" + value + "\n") }

// set writes a value of a key that is taken as it stands. Empty is left out.
func (f *file) set(key, value string) {
	if value == "" {
		return
	}
	text, err := plain(value)
	f.check(key, err)
	f.line(key, text)
}

// words writes a value that Quadlet splits into words.
func (f *file) words(key string, words ...string) {
	escaped := make([]string, 0, len(words))
	for _, w := range words {
		text, err := word(w)
		f.check(key, err)
		escaped = append(escaped, text)
	}
	f.line(key, strings.Join(escaped, " "))
}

// quadlet writes the section that keeps Quadlet from waiting for
// network-online.target, which a user's units cannot see and which takes 90 seconds
// where nothing asks for it.
func (f *file) quadlet() {
	f.section("Quadlet")
	f.comment("Quadlet would wait up to 90 s for network-online.target, which many hosts never reach.")
	f.line("DefaultDependencies", "false")
}

// pairs writes one line NAME=VALUE for each entry, sorted.
func (f *file) pairs(key string, values map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		f.words(key, name+"="+values[name])
	}
}

// podmanArgs writes options that Quadlet has no key for, under the reason.
func (f *file) podmanArgs(reason string, args ...string) {
	f.comment(reason)
	f.words("PodmanArgs", args...)
}

func (f *file) check(key string, err error) {
	if err != nil && f.err == nil {
		f.err = fmt.Errorf("%s=: %w", key, err)
	}
}

// unit ends the construction.
func (f *file) unit(name string) (Unit, error) {
	if f.err != nil {
		return Unit{}, fmt.Errorf("unit %s: %w", name, f.err)
	}
	return Unit{Name: name, Text: f.text.String()}, nil
}
