package supervise

import (
	"errors"
	"fmt"
	"time"
)

// Response is the answer to a proposal. There is one at most.
type Response struct {
	ID     string `json:"id"`
	Status Status `json:"status"`
	// Notes is what the operator, or podbottle itself, tells the agent.
	Notes string `json:"notes,omitempty"`
	// Granted says in one sentence what is permitted now.
	Granted string `json:"granted,omitempty"`
	// Scope is set with an approval.
	Scope Scope `json:"scope,omitempty"`
	// ExpiresAt is when the approval ends; zero for never.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	Time      time.Time `json:"time"` // UTC
}

// Status is how a proposal stands.
type Status string

// The statuses. Only the first is not final.
const (
	StatusPending  Status = "pending"
	StatusApproved Status = "approved"
	StatusModified Status = "modified" // approved after the operator changed it
	StatusRejected Status = "rejected"
	StatusExpired  Status = "expired" // nobody answered in time; nothing was permitted
)

// Scope is how far an approval reaches.
type Scope string

// The scopes.
const (
	ScopeOnce     Scope = "once"     // for a short time
	ScopeBottle   Scope = "bottle"   // as long as this bottle runs
	ScopeManifest Scope = "manifest" // written to the bottle's manifest as well
)

// OnceFor is how long an approval with ScopeOnce holds unless the operator says otherwise.
const OnceFor = 15 * time.Minute

// maxNotes bounds a response's texts, in bytes.
const maxNotes = 8 << 10

// ParseResponse reads a response's file, as strictly as ParseProposal.
func ParseResponse(data []byte) (Response, error) {
	var r Response
	if err := decodeStrict(data, &r); err != nil {
		return Response{}, fmt.Errorf("response: %w", err)
	}
	return r, r.validate()
}

func (r Response) validate() error {
	if !idPattern.MatchString(r.ID) {
		return errors.New("response: not a proposal's ID")
	}
	switch r.Status {
	case StatusApproved, StatusModified, StatusRejected, StatusExpired:
	default:
		return errors.New("response: unknown status")
	}
	switch r.Scope {
	case "", ScopeOnce, ScopeBottle, ScopeManifest:
	default:
		return errors.New("response: unknown scope")
	}
	if len(r.Notes) > maxNotes || len(r.Granted) > maxNotes {
		return errors.New("response: text too long")
	}
	return nil
}
