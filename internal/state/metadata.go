package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
)

// Metadata is what resume needs of a bottle, and what list shows of it. The
// first six fields are the seed's. Fields that a file lacks are read as zero.
type Metadata struct {
	Identity  string `json:"identity"`
	AgentName string `json:"agent_name"`
	// Cwd is the directory that was copied into the image; empty without --cwd.
	Cwd     string    `json:"cwd"`
	CopyCwd bool      `json:"copy_cwd"`
	Started time.Time `json:"started_at"` // UTC
	// ComposeProject is bot-bottle-<slug>; the pod's name is made from it.
	ComposeProject string `json:"compose_project"`

	Backend  string `json:"backend"`            // podman
	Firewall string `json:"firewall,omitempty"` // engine, and its version once known
	// Runtime is runsc or crun where the user insisted on one.
	Runtime string `json:"runtime,omitempty"`
	Label   string `json:"label,omitempty"`
	// UserCwd is the directory of the first start: relative Dockerfiles and the
	// repository's agents are found from it.
	UserCwd      string   `json:"user_cwd,omitempty"`
	BottleNames  []string `json:"bottle_names,omitempty"`
	AgentFromCwd bool     `json:"agent_from_cwd,omitempty"`
	// PlanDigest is "sha256:<hex>" of the plan of the last launch.
	PlanDigest string `json:"plan_digest,omitempty"`
}

// ErrNoMetadata is returned for a slug that has no metadata.
var ErrNoMetadata = errors.New("no bottle of this name is kept; list them with: podbottle list --all")

// WriteMetadata replaces the metadata of the bottle m.Identity, whose directory
// it creates if need be. CommitMetadata also waits until it is on the disk.
func WriteMetadata(root string, m Metadata) error { return writeMetadata(root, m, WriteDraft) }

// CommitMetadata is WriteMetadata for a bottle that is being launched: it can be
// resumed after a power failure.
func CommitMetadata(root string, m Metadata) error { return writeMetadata(root, m, WriteFile) }

func writeMetadata(root string, m Metadata, write func(string, []byte) error) error {
	t, err := Of(root, m.Identity)
	if err != nil {
		return err
	}
	if err := MakeDir(t.Dir()); err != nil {
		return err
	}
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("metadata of %s: %w", m.Identity, err)
	}
	return write(t.Metadata(), append(data, '\n'))
}

// ReadMetadata reads the metadata of a bottle. Unknown and missing fields are
// no error; a file that names another bottle is.
func ReadMetadata(root, slug string) (Metadata, error) {
	t, err := Of(root, slug)
	if err != nil {
		return Metadata{}, err
	}
	data, err := os.ReadFile(t.Metadata())
	if errors.Is(err, os.ErrNotExist) {
		return Metadata{}, fmt.Errorf("bottle %s: %w", slug, ErrNoMetadata)
	}
	if err != nil {
		return Metadata{}, fmt.Errorf("metadata of %s: %w", slug, err)
	}
	var m Metadata
	if err := json.Unmarshal(data, &m); err != nil {
		return Metadata{}, fmt.Errorf("%s: %w; remove the bottle with: podbottle cleanup", t.Metadata(), err)
	}
	if m.Identity == "" {
		m.Identity = slug
	}
	if m.Identity != slug {
		return Metadata{}, fmt.Errorf("%s is the metadata of another bottle, %q", t.Metadata(), m.Identity)
	}
	return m, nil
}
