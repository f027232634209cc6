package supervise

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"
)

// Proposal is one request of an agent for more than its bottle allows. Exactly
// one of Egress, Pipelock and Capability is set, the one that Tool names.
type Proposal struct {
	// ID is made from everything else in the proposal, so a proposal cannot be
	// exchanged for another under the ID that the operator has looked at.
	ID            string             `json:"id"`
	Slug          string             `json:"slug"`
	Tool          Tool               `json:"tool"`
	Egress        *EgressRequest     `json:"egress,omitempty"`
	Pipelock      *PipelockRequest   `json:"pipelock,omitempty"`
	Capability    *CapabilityRequest `json:"capability,omitempty"`
	Justification string             `json:"justification"`
	Time          time.Time          `json:"time"` // UTC
	// Base is the SHA-256, in hex, of the file that the proposal would change, as
	// the sidecar saw it; empty when it cannot see it.
	Base string `json:"base,omitempty"`
}

// Tool names an MCP tool that makes proposals.
type Tool string

// The tools that make proposals.
const (
	ToolEgress     Tool = "egress-block"
	ToolPipelock   Tool = "pipelock-block"
	ToolCapability Tool = "capability-block"
)

// EgressRequest asks for one route.
type EgressRequest struct {
	Host string `json:"host" yaml:"host"`
	// PathAllowlist holds absolute path prefixes; empty asks for every path.
	PathAllowlist []string `json:"path_allowlist,omitempty" yaml:"path_allowlist,omitempty"`
	// Methods are HTTP methods; empty asks for every method.
	Methods []string `json:"methods,omitempty" yaml:"methods,omitempty"`
	// Auth asks for a credential to be added to the requests.
	Auth *AuthRequest `json:"auth,omitempty" yaml:"auth,omitempty"`
}

// AuthRequest asks for a credential. TokenRef names a variable of the host; the
// agent may name any, so the operator is always asked which one it shall be.
type AuthRequest struct {
	Scheme   string `json:"scheme" yaml:"scheme"` // Bearer | token | basic | header
	TokenRef string `json:"token_ref" yaml:"token_ref"`
	// Header is the header's name with the scheme header.
	Header string `json:"header,omitempty" yaml:"header,omitempty"`
}

// PipelockRequest asks for the host of a URL that was refused.
type PipelockRequest struct {
	FailedURL string `json:"failed_url" yaml:"failed_url"` // absolute, http or https
}

// CapabilityRequest asks for another image.
type CapabilityRequest struct {
	Containerfile string `json:"containerfile" yaml:"containerfile"` // the whole proposed file
}

// MaxProposal bounds a proposal's file, in bytes.
const MaxProposal = 256 << 10

// idPattern is an ID's form: the first half of a SHA-256 in hex.
var idPattern = regexp.MustCompile(`^[0-9a-f]{32}$`)

// NewProposal completes p with its ID and checks it.
func NewProposal(p Proposal) (Proposal, error) {
	p.Time = p.Time.UTC().Round(0)
	id, err := p.contentID()
	if err != nil {
		return Proposal{}, err
	}
	p.ID = id
	return p, p.Validate()
}

// contentID hashes the proposal without its ID.
func (p Proposal) contentID() (string, error) {
	p.ID = ""
	data, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("encode proposal: %w", err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16]), nil
}

// ParseProposal reads a proposal's file. It trusts nothing in it: unknown
// fields, a second document, an ID that does not belong to the content, or
// values that the tools would not have taken are errors.
func ParseProposal(data []byte) (Proposal, error) {
	var p Proposal
	if err := decodeStrict(data, &p); err != nil {
		return Proposal{}, fmt.Errorf("proposal: %w", err)
	}
	want, err := p.contentID()
	if err != nil {
		return Proposal{}, err
	}
	if p.ID != want {
		return Proposal{}, errors.New("proposal: its ID does not belong to its content")
	}
	return p, p.Validate()
}

// decodeStrict reads exactly one JSON value without unknown fields.
func decodeStrict(data []byte, into any) error {
	if len(data) > MaxProposal {
		return fmt.Errorf("larger than %d bytes", MaxProposal)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more than one JSON value")
	}
	return nil
}

// Same reports whether two proposals ask for the same thing, whatever the
// reason given and the time.
func (p Proposal) Same(other Proposal) bool {
	p.ID, p.Time, p.Justification, p.Base = "", time.Time{}, "", ""
	other.ID, other.Time, other.Justification, other.Base = "", time.Time{}, "", ""
	a, errA := p.contentID()
	b, errB := other.contentID()
	return errA == nil && errB == nil && a == b
}
