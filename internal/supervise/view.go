package supervise

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/podbottle/podbottle/internal/breakage"
	"github.com/podbottle/podbottle/internal/visible"
)

// View is a proposal as an operator sees it: everything that he decides on. All texts
// but for those of Proposal, Response and Ask are safe to print.
type View struct {
	Proposal Proposal  `json:"proposal"`
	Response *Response `json:"response"`
	// Ask is what egress is asked for; nil for an image.
	Ask *Ask `json:"ask"`
	// Summary says in one sentence what is newly permitted.
	Summary  string   `json:"summary"`
	Warnings []string `json:"warnings"`
	// Diff is against the routes or the Containerfile now.
	Diff string `json:"diff"`
	// NeedsToken says that an approval needs the value of a new credential.
	NeedsToken bool `json:"needs_token"`
	// Problem says why it cannot be approved now; empty when it can.
	Problem string `json:"problem,omitempty"`

	// Current is the Containerfile that Diff is against.
	Current []byte `json:"-"`
}

// View works out what an operator has to know about a proposal. An approval until
// then is shown; zero shows one without end.
func (b Bottle) View(entry Entry, now, until time.Time) View {
	p := entry.Proposal
	v := View{Proposal: p, Response: entry.Response, Warnings: []string{}}
	if p.Capability != nil {
		return b.viewImage(v, []byte(p.Capability.Containerfile))
	}
	ask, err := p.Ask()
	if err != nil {
		v.Problem = visible.String(err.Error())
		return v
	}
	return b.viewAsk(v, ask, now, until)
}

// ViewModified is View for what the operator made of the proposal: another ask, or
// another Containerfile.
func (b Bottle) ViewModified(p Proposal, ask *Ask, file []byte, now, until time.Time) View {
	v := View{Proposal: p, Warnings: []string{}}
	if ask != nil {
		return b.viewAsk(v, *ask, now, until)
	}
	return b.viewImage(v, file)
}

func (b Bottle) viewImage(v View, file []byte) View {
	var err error
	if v.Current, err = b.CurrentContainerfile(); err != nil {
		v.Problem = visible.String(err.Error())
	}
	if err := b.checkRebuild(file); err != nil {
		v.Problem = visible.String(err.Error())
	}
	v.Diff = ContainerfileDiff(v.Current, file)
	v.Summary = "Builds this Containerfile as the bottle's image. " + b.Rebuild.Follows
	v.Warnings = append(v.Warnings,
		"The build runs what the file says, without any secret and without a directory of the host.",
		"It is outside of the bottle: it reaches the internet, and what listens on all addresses of this machine.")
	return v
}

// viewAsk fills in what granting ask, the agent's or the operator's, would do.
func (b Bottle) viewAsk(v View, ask Ask, now, until time.Time) View {
	v.Ask = &ask
	change, err := b.Preview(ask, now, until)
	if err != nil {
		v.Problem = visible.String(err.Error())
		v.Summary = "Asks for " + v.Proposal.Asks()
		return v
	}
	v.Summary, v.Diff, v.NeedsToken = change.Summary, strings.Join(visible.Lines(change.Diff), "\n"), change.Slot != ""
	v.Warnings = append([]string{}, change.Warnings...)
	return v
}

// Text is the view for a terminal. The agent's words are set apart as a quotation.
func (v View) Text() string {
	var b strings.Builder
	p := v.Proposal
	fmt.Fprintf(&b, "Proposal  %s\nBottle    %s\nTool      %s\nAsked     %s\n", p.ID, visible.String(p.Slug), visible.String(string(p.Tool)), p.Time.Local().Format(time.DateTime))
	if v.Response != nil {
		fmt.Fprintf(&b, "Answer    %s at %s\n", v.Response.Status, v.Response.Time.Local().Format(time.DateTime))
		if v.Response.Notes != "" {
			fmt.Fprintf(&b, "Notes     %s\n", visible.String(v.Response.Notes))
		}
	}
	b.WriteString("\n" + v.Summary + "\n")
	for _, w := range v.Warnings {
		b.WriteString("! " + w + "\n")
	}
	if v.Problem != "" {
		b.WriteString("It cannot be approved now: " + v.Problem + "\n")
	}
	b.WriteString("\nThe agent says:\n")
	for _, line := range v.Quotation() {
		b.WriteString("  | " + line + "\n")
	}
	if v.Diff != "" {
		b.WriteString("\n" + strings.TrimSuffix(v.Diff, "\n") + "\n")
	}
	return b.String()
}

// Quotation are the agent's own words, line by line, safe to print.
func (v View) Quotation() []string {
	if breakage.Has("quotation") {
		return []string{v.Proposal.Justification}
	}
	return visible.Lines(v.Proposal.Justification)
}

// Status is how the proposal stands.
func (e Entry) Status() Status {
	if e.Response == nil {
		return StatusPending
	}
	return e.Response.Status
}

// shortID is how much of an ID is shown.
const shortID = 12

// ShortID is enough of the ID to name a proposal on the command line.
func (p Proposal) ShortID() string { return p.ID[:shortID] }

// Asks says in a few words, safe to print, what the proposal asks for.
func (p Proposal) Asks() string {
	if p.Capability != nil {
		return "another image"
	}
	ask, err := p.Ask()
	if err != nil {
		return "something unreadable"
	}
	parts := []string{ask.Host}
	if ask.Port != 0 {
		parts[0] += fmt.Sprintf(":%d", ask.Port)
	}
	if len(ask.Methods) > 0 {
		parts = append(parts, strings.Join(ask.Methods, ","))
	}
	if n := len(ask.PathAllowlist); n > 0 {
		parts = append(parts, ask.PathAllowlist[0])
		if n > 1 {
			parts = append(parts, fmt.Sprintf("and %d more", n-1))
		}
	}
	if ask.Auth != nil {
		parts = append(parts, "with a credential")
	}
	return visible.String(strings.Join(parts, " "))
}

// Collect gathers the proposals of several bottles: those that wait, oldest first,
// and with decided the others after them, newest first. damaged says what could
// not be read.
func Collect(bottles []Bottle, decided bool) (entries []Entry, damaged []error) {
	entries = []Entry{}
	var answered []Entry
	for _, b := range bottles {
		pending, problems := b.Pending()
		damaged = append(damaged, problems...)
		for _, p := range pending {
			entries = append(entries, Entry{Proposal: p})
		}
		if decided {
			old, problems := b.Decided()
			answered, damaged = append(answered, old...), append(damaged, problems...)
		}
	}
	slices.SortStableFunc(entries, func(a, b Entry) int { return a.Proposal.Time.Compare(b.Proposal.Time) })
	slices.SortStableFunc(answered, func(a, b Entry) int { return b.Response.Time.Compare(a.Response.Time) })
	return append(entries, answered...), damaged
}

// shortest is how much of an ID has to be given.
const shortest = 8

// FindProposal finds the one proposal whose ID begins with id.
func FindProposal(bottles []Bottle, id string) (Bottle, Entry, error) {
	if len(id) < shortest {
		return Bottle{}, Entry{}, fmt.Errorf("%s: give at least %d characters of the ID", visible.String(id), shortest)
	}
	var found []Entry
	var in Bottle
	for _, b := range bottles {
		entries, err := b.findAll(id)
		if err != nil || len(entries) == 0 {
			continue // a queue that is gone or damaged is in nobody's way
		}
		found, in = append(found, entries...), b
	}
	switch len(found) {
	case 0:
		return Bottle{}, Entry{}, fmt.Errorf("%s: %w; podbottle approvals list shows those that wait", visible.String(id), ErrUnknown)
	case 1:
		return in, found[0], nil
	}
	return Bottle{}, Entry{}, errors.New("several proposals begin with " + visible.String(id) + "; give more of the ID")
}

// Grant prepares the approval of ask in the given scope: what Preview shows now,
// and for ScopeManifest the edit of the bottle's file. period is how long it
// holds; zero is the scope's own. tokenRef is the host's variable for a new credential.
func (b Bottle) Grant(ask Ask, scope Scope, period time.Duration, tokenRef string, now time.Time) (Grant, error) {
	g := Grant{Scope: scope, TokenRef: tokenRef}
	if period < 0 {
		return Grant{}, errors.New("a period cannot be negative")
	}
	if scope == ScopeOnce && period == 0 {
		period = OnceFor
	}
	if period > 0 {
		g.Until = now.Add(period).UTC().Truncate(time.Second)
	}
	var err error
	if g.Change, err = b.Preview(ask, now, g.Until); err != nil {
		return Grant{}, err
	}
	if scope != ScopeManifest {
		return g, nil
	}
	file, err := b.Manifest()
	if err != nil {
		return Grant{}, fmt.Errorf("the bottle's file in the manifest: %w", err)
	}
	g.Manifest, err = file.Preview(ask, tokenRef)
	return g, err
}
