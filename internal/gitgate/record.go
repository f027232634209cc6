package gitgate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/podbottle/podbottle/internal/audit"
	"github.com/podbottle/podbottle/internal/breakage"
	"github.com/podbottle/podbottle/internal/visible"
)

// Names in the sidecar's state directory.
const (
	// AuditFile holds one Record a line, written with the package audit.
	AuditFile = "audit.jsonl"
	// RefusedDir holds one Refusal a file, <id>.json.
	RefusedDir = "refused"
	// MirrorsDir holds the bare repositories, <name>.git.
	MirrorsDir = "mirrors"
)

// Event says what a Record is about.
type Event string

// Events.
const (
	EventFetch Event = "fetch" // the mirror was refreshed for a clone, fetch or ls-remote
	EventPush  Event = "push"  // a push was judged, and forwarded or refused
	EventAllow Event = "allow" // an operator let a refused push through once
)

// Verdict is the decision of a Record.
type Verdict string

// Verdicts.
const (
	VerdictAllow Verdict = "allow"
	VerdictDeny  Verdict = "deny"
)

// Reason says why. The values are stable: agents, tests and operators rely on them.
type Reason string

// Reasons.
const (
	ReasonRefreshed   Reason = "refreshed"    // new content came from the remote
	ReasonUnchanged   Reason = "unchanged"    // the mirror has what the remote has
	ReasonForwarded   Reason = "forwarded"    // the push is clean, or let through, and goes to the remote now
	ReasonLanded      Reason = "landed"       // the remote accepted it
	ReasonAllowedOnce Reason = "allowed-once" // an operator decided

	ReasonUnknown     Reason = "unknown-repository" // no declared remote has that name
	ReasonUnpinned    Reason = "no-host-key"        // no host key is pinned for the remote
	ReasonUnreachable Reason = "remote-failed"      // the remote did not answer, or not as it must
	ReasonRejected    Reason = "remote-rejected"    // the remote refused the push
	ReasonSecret      Reason = "secret"             // gitleaks found something
	ReasonLFS         Reason = "lfs"                // a Git LFS pointer, and LFS is not declared
	ReasonRef         Reason = "ref-not-allowed"    // no pattern of the remote has the ref
	ReasonForce       Reason = "forced"             // history is rewritten, and that is not declared
	ReasonDelete      Reason = "deletion"           // a ref is deleted, and that is not declared
	ReasonLimit       Reason = "limit"              // more than the limits of one push
	ReasonInternal    Reason = "internal"           // the gate itself failed, and so refused
)

// Record is one decision, as it stands in the sidecar's log and in the audit file.
// It holds no secret: findings are redacted.
type Record struct {
	Time       time.Time `json:"time"`
	Slug       string    `json:"slug"`
	Event      Event     `json:"event"`
	Verdict    Verdict   `json:"verdict"`
	Reason     Reason    `json:"reason"`
	Repository string    `json:"repository,omitempty"`
	Updates    []Update  `json:"updates,omitempty"`  // at most MaxListed
	Findings   []Finding `json:"findings,omitempty"` // at most MaxListed
	// FindingCount is how many there are; more than listed when the list is cut.
	FindingCount int `json:"finding_count,omitempty"`
	// Refusal is the ID of the refused push, for podbottle git SLUG --show ID.
	Refusal string `json:"refusal,omitempty"`
	// By is the operator who let a push through.
	By string `json:"by,omitempty"`
	// Objects is how many objects a push would add to the remote.
	Objects int `json:"objects,omitempty"`
	// Detail is what the remote or git said, at most 400 characters.
	Detail     string  `json:"detail,omitempty"`
	DurationMS float64 `json:"duration_ms"`
}

// Denied reports whether something was refused.
func (r Record) Denied() bool { return r.Verdict == VerdictDeny }

// maxShown bounds how many updates and findings String has, and each text, in characters.
const (
	maxShown     = 3
	maxShownText = 300
)

// String is the record as one line for a person, with what the agent wrote made
// visible, and cut.
func (r Record) String() string {
	parts := []string{r.Time.UTC().Format(time.DateTime), fmt.Sprintf("%-5s", r.Verdict), "git " + string(r.Event), r.Repository}
	var updates, why []string
	for _, u := range r.Updates {
		updates = append(updates, u.describe())
	}
	for _, f := range r.Findings {
		why = append(why, f.String())
	}
	if len(updates) > 0 {
		parts = append(parts, shown(updates, len(updates)))
	}
	parts = append(parts, "("+string(r.Reason)+")")
	if r.Refusal != "" {
		parts = append(parts, r.Refusal)
	}
	if r.By != "" {
		parts = append(parts, "by "+r.By)
	}
	text := strings.Join(parts, " ")
	if len(why) > 0 {
		text += ": " + shown(why, max(len(why), r.FindingCount))
	}
	if r.Detail != "" {
		text += ": " + visible.Cut(r.Detail, maxShownText)
	}
	if breakage.Has("branches") {
		return text
	}
	return visible.String(text)
}

// shown are the first of some texts and how many more there are of all.
func shown(texts []string, all int) string {
	n := min(len(texts), maxShown)
	text := visible.Cut(strings.Join(texts[:n], "; "), maxShownText)
	if all > n {
		text += fmt.Sprintf(" and %d more", all-n)
	}
	return text
}

// Bounds of a Record, which is one line of the audit file however much an agent pushes:
// of its lists, and of each name in them, in bytes of JSON.
const (
	MaxListed     = 50
	maxListedName = 200
)

// Limited is the record within its bounds. FindingCount tells what is left out; a
// Refusal has more.
func (r Record) Limited() Record {
	r.FindingCount = max(r.FindingCount, len(r.Findings))
	r.Updates, r.Findings = limitUpdates(r.Updates, MaxListed, maxListedName), limitFindings(r.Findings, MaxListed, maxListedName)
	return r
}

func limitUpdates(all []Update, most, size int) []Update {
	all = slices.Clone(all[:min(len(all), most)])
	for i := range all {
		all[i].Ref = audit.Cut(all[i].Ref, size)
	}
	return all
}

func limitFindings(all []Finding, most, size int) []Finding {
	all = slices.Clone(all[:min(len(all), most)])
	for i := range all {
		all[i].Path, all[i].Ref = audit.Cut(all[i].Path, size), audit.Cut(all[i].Ref, size)
	}
	return all
}

// Update is one changed ref of a push.
type Update struct {
	Ref string `json:"ref"` // secrets found in it are redacted
	Old string `json:"old"` // object name in hexadecimal; all zeros for a new ref
	New string `json:"new"` // all zeros for a deletion
}

// Creates reports whether the ref is new.
func (u Update) Creates() bool { return strings.Trim(u.Old, "0") == "" }

// Deletes reports whether the ref goes away.
func (u Update) Deletes() bool { return strings.Trim(u.New, "0") == "" }

// Place says in which part of an object a finding is.
type Place string

// Places.
const (
	PlaceFile    Place = "file"
	PlaceName    Place = "file name"
	PlaceMessage Place = "commit message"
	PlaceAuthor  Place = "author or committer"
	PlaceHeader  Place = "commit header"
	PlaceTag     Place = "tag"
	PlaceRef     Place = "ref name"
)

// Finding is one reason against a push. It holds no secret.
type Finding struct {
	// Reason is ReasonSecret, or the rule of the remote's policy that is broken.
	Reason Reason `json:"reason"`
	// Rule is gitleaks' rule, for a secret.
	Rule        string `json:"rule,omitempty"`
	Description string `json:"description,omitempty"`
	Place       Place  `json:"place,omitempty"`
	Path        string `json:"path,omitempty"`
	Line        int    `json:"line,omitempty"` // from 1; 0 where there are no lines
	// Commit is the object name of the commit or tag that brings it, as far as one does.
	Commit string `json:"commit,omitempty"`
	Ref    string `json:"ref,omitempty"`
	// Excerpt is the text around it with the secret masked; only in a Refusal.
	Excerpt string `json:"excerpt,omitempty"`
}

// String says it in one line, without the secret: gitleaks: RULE in PATH, line N,
// commit C.
func (f Finding) String() string {
	var s string
	switch f.Reason {
	case ReasonSecret:
		s = "gitleaks: " + f.Rule + " in "
		if f.Place == PlaceFile && f.Path != "" {
			s += f.Path
		} else {
			s += "the " + string(f.Place)
			if f.Path != "" {
				s += " " + f.Path
			}
		}
	case ReasonLFS:
		s = f.Path + " is a Git LFS pointer, and LFS is not declared for this remote"
	case ReasonRef:
		s = f.Ref + " is not among the refs that may be pushed"
	case ReasonForce:
		s = f.Ref + " would be rewritten, and forced pushes are not allowed"
	case ReasonDelete:
		s = f.Ref + " would be deleted, and deletions are not allowed"
	default:
		s = string(f.Reason)
	}
	if f.Line > 0 {
		s += fmt.Sprintf(", line %d", f.Line)
	}
	if f.Commit != "" {
		s += ", commit " + short(f.Commit)
	}
	if f.Reason == ReasonSecret && f.Ref != "" {
		s += ", " + f.Ref
	}
	return s
}

// short is an object name as people write it.
func short(oid string) string { return oid[:min(len(oid), 12)] }
