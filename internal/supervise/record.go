package supervise

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/podbottle/podbottle/internal/audit"
	"github.com/podbottle/podbottle/internal/visible"
)

// AuditFile is the name of an audit file of records. The host's, of what operators
// decided, is in the bottle's state directory, where the sidecar cannot reach it. The
// sidecar's, of what was proposed and of what was decided for lack of an operator, is
// in the queue.
const AuditFile = "audit.jsonl"

// maxRecordText bounds each text of a record, in bytes of its JSON. There are six, and
// together they have to fit into the longest line of an audit file: what cannot be put
// on record can be neither approved nor denied.
const maxRecordText = 9 << 10

// Event names what a record is about.
type Event string

// The events.
const (
	EventProposal Event = "proposal" // an agent asked
	EventDecision Event = "decision" // an operator, or the lack of one, answered
	EventUndone   Event = "undone"   // a decision that could not be handed to the agent was taken back
)

// Record is one line of an audit file.
type Record struct {
	Time  time.Time `json:"time"` // UTC
	Event Event     `json:"event"`
	Slug  string    `json:"slug"`
	ID    string    `json:"id"`
	Tool  Tool      `json:"tool"`
	// Asked is what the agent asked for; a Containerfile is given by its hash alone.
	Asked         any    `json:"asked,omitempty"`
	Justification string `json:"justification,omitempty"`
	Status        Status `json:"status,omitempty"`
	Scope         Scope  `json:"scope,omitempty"`
	// ExpiresAt is when an approval ends; zero for never.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	// Granted is what was permitted, when that is not what was asked for.
	Granted any    `json:"granted,omitempty"`
	Summary string `json:"summary,omitempty"`
	Notes   string `json:"notes,omitempty"`
	// TokenRef is the host's variable whose value fills the new slot.
	TokenRef string `json:"token_ref,omitempty"`
	// Before and After are the SHA-256 of the file that the decision changed.
	Before string    `json:"before,omitempty"`
	After  string    `json:"after,omitempty"`
	Diff   string    `json:"diff,omitempty"`
	By     *Operator `json:"by,omitempty"`
}

// ProposalRecord is the record of a proposal that came in.
func ProposalRecord(p Proposal) Record {
	return Record{
		Time: p.Time, Event: EventProposal, Slug: p.Slug, ID: p.ID, Tool: p.Tool,
		Asked: asked(p), Justification: cut(p.Justification),
	}
}

// DecisionRecord is the record of an answer, without who gave it.
func DecisionRecord(p Proposal, r Response) Record {
	record := ProposalRecord(p)
	record.Time, record.Event = r.Time, EventDecision
	record.Status, record.Scope, record.ExpiresAt = r.Status, r.Scope, r.ExpiresAt
	record.Summary, record.Notes = cut(r.Granted), cut(r.Notes)
	return record
}

func asked(p Proposal) any {
	switch {
	case p.Egress != nil:
		return short(p.Egress)
	case p.Pipelock != nil:
		return short(p.Pipelock)
	default:
		return map[string]string{"containerfile_sha256": hash([]byte(p.Capability.Containerfile))}
	}
}

// short is value, or its hash where its JSON would not fit into a record.
func short(value any) any {
	text, err := json.Marshal(value)
	if err == nil && len(text) <= maxRecordText {
		return value
	}
	return map[string]string{"too_long_sha256": hash(text)}
}

// Denied reports whether the record is of a decision by which nothing was permitted.
func (r Record) Denied() bool {
	return r.Event == EventDecision && r.Status != StatusApproved && r.Status != StatusModified
}

// maxShown bounds each text of a record in String, in characters.
const maxShown = 300

// String is the record as one line for a person, with what the agent wrote made
// visible, and cut.
func (r Record) String() string {
	verdict := map[bool]string{false: "allow", true: "deny"}[r.Denied()]
	switch r.Event {
	case EventProposal:
		verdict = "ask"
	case EventUndone:
		verdict = "undo"
	}
	parts := []string{r.Time.UTC().Format(time.DateTime), fmt.Sprintf("%-5s", verdict), string(r.Tool), r.ID[:min(len(r.ID), shortID)], compact(r.Asked)}
	if r.Status != "" {
		parts = append(parts, string(r.Status))
	}
	if r.Granted != nil {
		parts = append(parts, "to "+compact(r.Granted))
	}
	if r.Scope != "" {
		parts = append(parts, "scope "+string(r.Scope))
	}
	if !r.ExpiresAt.IsZero() {
		parts = append(parts, "until "+r.ExpiresAt.UTC().Format(time.DateTime))
	}
	if r.By != nil {
		parts = append(parts, "by "+r.By.String())
	}
	if r.Event == EventProposal {
		parts = append(parts, "because: "+visible.Cut(r.Justification, maxShown))
	}
	if r.Notes != "" {
		parts = append(parts, "told: "+visible.Cut(r.Notes, maxShown))
	}
	return visible.String(strings.Join(parts, " "))
}

// compact is the JSON of what was asked or granted.
func compact(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return "unreadable"
	}
	return visible.Cut(string(text), maxShown)
}

// cut shortens a text that would not fit into a record.
func cut(s string) string { return audit.Cut(s, maxRecordText) }

// appendRecord writes one record to the audit file.
func appendRecord(path string, r Record) error {
	w, err := audit.Open(path)
	if err != nil {
		return err
	}
	if _, err := w.Append(r); err != nil {
		_ = w.Close()
		return err
	}
	return w.Close()
}
