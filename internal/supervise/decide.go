package supervise

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/podbottle/podbottle/internal/secret"
)

// Grant is an operator's approval of what he was shown.
type Grant struct {
	// Change is the preview that he saw; nothing else is applied.
	Change Change
	// Manifest is the edit that he saw, with ScopeManifest.
	Manifest ManifestChange
	// Modified says that Change.Ask is the operator's, not the agent's.
	Modified bool
	Scope    Scope
	// Until is when the approval ends; zero for never. ScopeOnce needs an end,
	// ScopeManifest has none.
	Until time.Time
	// Token is the value for Change.Slot, TokenRef the name of the variable it comes from.
	Token    secret.Value
	TokenRef string
	Notes    string // for the agent
	By       Operator
}

// maxToken bounds a credential, in bytes.
const maxToken = 64 << 10

func (g Grant) validate(now time.Time) error {
	switch {
	case g.Scope == ScopeOnce && g.Until.IsZero():
		return errors.New("an approval for once needs an end")
	case g.Scope == ScopeManifest && !g.Until.IsZero():
		return errors.New("an approval in the manifest has no end; take --for away or approve for the bottle")
	case g.Scope != ScopeOnce && g.Scope != ScopeBottle && g.Scope != ScopeManifest:
		return errors.New("an approval is once, for the bottle, or in the manifest")
	case !g.Until.IsZero() && !g.Until.After(now):
		return errors.New("the approval would end before it begins")
	case len(g.Notes) > maxNotes:
		return fmt.Errorf("the notes are longer than %d bytes", maxNotes)
	}
	if g.Change.Slot == "" {
		return nil
	}
	token := g.Token.Reveal()
	switch {
	case token == "":
		return errors.New("the new credential has no value; name the variable of the host that holds it")
	case len(token) > maxToken || strings.ContainsAny(token, "\r\n\x00"):
		return errors.New("the credential's value is not one line of text")
	}
	return nil
}

// Approve applies a grant and answers the proposal. When anything fails, what was
// changed is taken back, the proposal stays pending, and the error says why.
func (b Bottle) Approve(ctx context.Context, p Proposal, g Grant) (Response, error) {
	if p.Tool == ToolCapability {
		return Response{}, errors.New("the proposal asks for an image, not for a route")
	}
	now := time.Now().UTC()
	if err := g.validate(now); err != nil {
		return Response{}, err
	}
	r := Response{
		ID: p.ID, Status: StatusApproved, Scope: g.Scope, ExpiresAt: g.Until, Notes: g.Notes, Granted: g.Change.Summary, Time: now,
	}
	record := DecisionRecord(p, r)
	if g.Modified {
		r.Status, record.Status = StatusModified, StatusModified
		record.Granted = short(g.Change.Ask)
	}
	record.By, record.TokenRef, record.Diff = &g.By, g.TokenRef, cut(g.Change.Diff)
	record.Before, record.After = hash(g.Change.Before), hash(g.Change.After)
	return r, b.decide(ctx, p, r, record, func(done *undoList) error { return b.apply(ctx, g, done) })
}

// Reject answers a proposal with a reason and changes nothing.
func (b Bottle) Reject(ctx context.Context, p Proposal, reason string, by Operator) (Response, error) {
	if len(reason) > maxNotes {
		return Response{}, fmt.Errorf("the reason is longer than %d bytes", maxNotes)
	}
	r := Response{ID: p.ID, Status: StatusRejected, Notes: reason, Time: time.Now().UTC()}
	record := DecisionRecord(p, r)
	record.By = &by
	return r, b.decide(ctx, p, r, record, func(*undoList) error { return nil })
}

// RebuildGrant is an operator's approval of an image.
type RebuildGrant struct {
	// Current is the Containerfile that he was shown the difference to.
	Current []byte
	// File is what he approves: the agent's, or his own version of it.
	File  []byte
	Notes string // for the agent
	By    Operator
}

// checkRebuild says why a Containerfile cannot be approved.
func (b Bottle) checkRebuild(file []byte) error {
	err := CapabilityRequest{Containerfile: string(file)}.validate()
	if err == nil && b.Rebuild.Check != nil {
		err = b.Rebuild.Check(file)
	}
	return err
}

// ApproveRebuild makes a Containerfile the bottle's own, answers the proposal, and
// takes the bottle into the new image. When the image cannot be built or put in
// place, the bottle goes on as it was and the proposal is still pending.
func (b Bottle) ApproveRebuild(ctx context.Context, p Proposal, g RebuildGrant) (Response, error) {
	if p.Capability == nil {
		return Response{}, errors.New("the proposal does not ask for an image")
	}
	if err := b.checkRebuild(g.File); err != nil {
		return Response{}, err
	}
	if err := b.buildFirst(ctx, p, g.File); err != nil {
		return Response{}, err
	}
	r := Response{
		ID: p.ID, Status: StatusApproved, Scope: ScopeBottle, Notes: g.Notes, Time: time.Now().UTC(),
		Granted: "The Containerfile becomes this bottle's own. " + b.Rebuild.Follows,
	}
	if string(g.File) != p.Capability.Containerfile {
		r.Status = StatusModified
	}
	record := DecisionRecord(p, r)
	record.By, record.Before, record.After = &g.By, hash(g.Current), hash(g.File)
	record.Diff = cut(ContainerfileDiff(g.Current, g.File))
	err := b.decide(ctx, p, r, record, func(done *undoList) error {
		now, err := b.CurrentContainerfile()
		if err != nil {
			return err
		}
		if string(now) != string(g.Current) {
			return errors.New("the Containerfile has changed since it was shown; look at it again")
		}
		if err := b.Rebuild.Write(ctx, g.File); err != nil {
			return err
		}
		done.add(func() error { return b.Rebuild.Withdraw(context.WithoutCancel(ctx)) })
		return nil
	})
	if err != nil {
		return Response{}, err
	}
	if err := b.Rebuild.TakeDown(ctx); err != nil {
		return r, fmt.Errorf("the image is approved, but the bottle is not in it yet: %w; %s", err, b.Rebuild.Mend)
	}
	return r, nil
}

// buildFirst builds the image of a proposal that waits, without the queue's lock,
// since that may take minutes.
func (b Bottle) buildFirst(ctx context.Context, p Proposal, file []byte) error {
	if b.Rebuild.Build == nil {
		return nil
	}
	entry, err := b.Find(p.ID)
	if err != nil {
		return err
	}
	if entry.Response != nil {
		return fmt.Errorf("%w: it is %s", ErrDecided, entry.Response.Status)
	}
	if err := b.Rebuild.Build(ctx, file); err != nil {
		return pending(err)
	}
	return nil
}

// decide runs apply and writes the record and the answer, with the queue locked,
// if the proposal still waits. An error undoes all of it.
func (b Bottle) decide(ctx context.Context, p Proposal, r Response, record Record, apply func(*undoList) error) (err error) {
	q, err := OpenQueue(b.Queue)
	if err != nil {
		return err
	}
	defer q.Close()
	unlock, err := q.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	entry, err := q.Find(p.ID)
	switch {
	case err != nil:
		return err
	case entry.Response != nil:
		return fmt.Errorf("%w: it is %s", ErrDecided, entry.Response.Status)
	}
	var done undoList
	defer func() {
		if err != nil {
			err = errors.Join(pending(err), done.undo())
		}
	}()
	if err := apply(&done); err != nil {
		return err
	}
	if err := appendRecord(b.Audit, record); err != nil {
		return err
	}
	if err := q.Respond(r); err != nil {
		record.Event, record.Notes = EventUndone, "the answer could not be written: "+err.Error()
		return errors.Join(err, appendRecord(b.Audit, record))
	}
	return nil
}

// pending says that an error left a proposal without an answer.
func pending(err error) error { return fmt.Errorf("%w; the proposal is still pending", err) }

// undoList takes back what was done, last first.
type undoList []func() error

func (u *undoList) add(f func() error) { *u = append(*u, f) }

func (u *undoList) undo() error {
	var errs []error
	for i := len(*u) - 1; i >= 0; i-- {
		if err := (*u)[i](); err != nil {
			errs = append(errs, fmt.Errorf("taking it back failed: %w", err))
		}
	}
	return errors.Join(errs...)
}
