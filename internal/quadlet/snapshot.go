package quadlet

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"slices"

	"github.com/podbottle/podbottle/internal/blueprint"
	"github.com/podbottle/podbottle/internal/secret"
)

// Snapshot is what a bottle's containers mount, as it was when the units were
// written: so what the user saw then is what runs. It holds no secret.
type Snapshot struct {
	Slug  string   `json:"slug"`
	Files []Entry  `json:"files"`
	Dirs  []string `json:"dirs"` // as in the blueprint
	// Ready are the markers, relative to the runtime directory, by service.
	Ready map[string]string `json:"ready"`
}

// Entry is one file of the runtime directory.
type Entry struct {
	Path    string      `json:"path"`
	Mode    fs.FileMode `json:"mode"`
	Content []byte      `json:"content,omitempty"`
	// Minted names what is written instead of Content: egress.crt, firewall.key, …
	Minted string `json:"minted,omitempty"`
}

// TakeSnapshot keeps a bottle's files. The place of a secret is kept as an empty
// file, over which Podman mounts it. The bottle is one with Authorities of this
// process.
func TakeSnapshot(b *blueprint.Bottle, subnet netip.Prefix) (Snapshot, error) {
	addresses, err := blueprint.AddressesOf(subnet)
	if err != nil {
		return Snapshot{}, err
	}
	s := Snapshot{Slug: b.Slug, Dirs: b.Dirs, Ready: map[string]string{}}
	for _, f := range b.Files {
		entry := Entry{Path: f.Path, Mode: f.Mode, Minted: mintedName(f.Content)}
		if entry.Minted == "" && secretTarget(f) == "" {
			entry.Content = []byte(f.Content.Reveal())
		}
		s.Files = append(s.Files, entry)
	}
	for _, c := range b.Containers(addresses) {
		if c.Ready != "" {
			s.Ready[string(c.Service)] = c.Ready
		}
	}
	return s, nil
}

// Bottle gives the files back, with the certificate authorities of this start.
func (s Snapshot) Bottle(egress, firewall blueprint.KeyPair) (*blueprint.Bottle, error) {
	values := map[string]secret.Value{
		"egress.crt": secret.New(string(egress.Cert)), "egress.key": egress.Key,
		"firewall.crt": secret.New(string(firewall.Cert)), "firewall.key": firewall.Key,
	}
	b := &blueprint.Bottle{Slug: s.Slug, Dirs: s.Dirs}
	for _, e := range s.Files {
		content := secret.New(string(e.Content))
		if e.Minted != "" {
			value, ok := values[e.Minted]
			if !ok {
				return nil, fmt.Errorf("snapshot of %s: %s is to hold %q, which nothing mints", s.Slug, e.Path, e.Minted)
			}
			content = value
		}
		b.Files = append(b.Files, blueprint.File{Path: e.Path, Mode: e.Mode, Content: content})
	}
	return b, nil
}

// Markers are the files, relative to the runtime directory, that appear when
// every service does its work.
func (s Snapshot) Markers() []string { return slices.Sorted(maps.Values(s.Ready)) }

// JSON is the form in which a snapshot is kept.
func (s Snapshot) JSON() ([]byte, error) { return json.MarshalIndent(s, "", "  ") }

// ParseSnapshot reads it.
func ParseSnapshot(data []byte) (Snapshot, error) {
	var s Snapshot
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("snapshot: %w", err)
	}
	return s, nil
}
