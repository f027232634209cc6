package gate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/podbottle/podbottle/internal/gitgate"
	"github.com/podbottle/podbottle/internal/visible"
)

const (
	// maxRefusals is how many refused pushes are kept; an agent may try again and again.
	maxRefusals = 100
	// maxSpoken is how many findings the agent is told.
	maxSpoken = 20
	// maxExcerpt bounds the text around a finding.
	maxExcerpt = 160
)

// refuse keeps a push that breaks a rule for the operator and tells the agent why,
// unless the operator has let just this push through: then it returns no reason.
func (p *push) refuse(ctx context.Context, findings []gitgate.Finding) (gitgate.Reason, error) {
	// The name of a ref can hold a secret: the ID is of the true names, the file has
	// the redacted ones.
	id := gitgate.RefusalID(p.mirror.repo.Name, p.updates)
	p.record.Refusal = id
	if err := p.gate.keep(ctx, p, id, findings); err != nil {
		return gitgate.ReasonInternal, fmt.Errorf("the push is refused and could not be kept for the operator: %w", err)
	}
	if p.record.By = p.gate.allowed(id); p.record.By != "" {
		p.say("an operator let this push through, once")
		return "", nil
	}
	p.say(fmt.Sprintf("push refused; nothing of it went to %s", p.mirror.repo.Host))
	for _, f := range findings[:min(len(findings), maxSpoken)] {
		p.say("  " + visible.String(f.String()))
	}
	if len(findings) > maxSpoken {
		p.say(fmt.Sprintf("  and %d more", len(findings)-maxSpoken))
	}
	if slices.ContainsFunc(findings, func(f gitgate.Finding) bool { return f.Reason == gitgate.ReasonSecret }) {
		p.say("a later commit does not take a secret back: rewrite the commits that have it, and push again")
	}
	p.say(fmt.Sprintf("an operator can let this push through once with: podbottle git %s allow %s", p.gate.slug, id))
	return findings[0].Reason, nil
}

// keep writes the refused push down, or counts another attempt at the same.
func (g *Gate) keep(ctx context.Context, p *push, id string, findings []gitgate.Finding) error {
	g.refusals.Lock()
	defer g.refusals.Unlock()
	r, err := gitgate.ReadRefusal(g.stateDir, id)
	if errors.Is(err, fs.ErrNotExist) {
		if err := g.forget(maxRefusals - 1); err != nil {
			return err
		}
		r = gitgate.Refusal{ID: id, First: time.Now().UTC(), Repository: p.mirror.repo.Name, Remote: p.mirror.repo.Address() + p.mirror.repo.Path}
		r.Commits, r.CommitCount, err = p.commits(ctx)
	}
	if err != nil {
		return err
	}
	r.Last = time.Now().UTC()
	r.Attempts++
	r.Updates = redactedUpdates(p.updates, p.hits)
	r.FindingCount = len(findings)
	r.Findings = p.withExcerpts(findings[:min(len(findings), gitgate.MaxKept)])
	return r.Write(g.stateDir)
}

// withExcerpts adds to each finding the text around it, for the operator's eyes only.
func (p *push) withExcerpts(findings []gitgate.Finding) []gitgate.Finding {
	shown := redacted(p.hits)
	all := slices.Clone(findings)
	for i, f := range all {
		at := slices.Index(shown, f)
		if at < 0 {
			continue
		}
		for _, h := range p.hits {
			if h.Rule == f.Rule && h.Line == f.Line && h.Place == f.Place && redact(h.Path, p.hits) == f.Path && !h.decoded {
				all[i].Excerpt = truncate(visible.String(strings.TrimSpace(redact(h.lines, p.hits))), maxExcerpt)
			}
		}
	}
	return all
}

// commits lists the new commits of the push with what a person recognises them by.
func (p *push) commits(ctx context.Context) (list []gitgate.Commit, count int, err error) {
	args := append([]string{"rev-list", "--count"}, newObjects...)
	out, err := p.git.output(ctx, tips(p.updates), args...)
	if err != nil {
		return nil, 0, err
	}
	if count, err = strconv.Atoi(strings.TrimSpace(string(out))); err != nil {
		return nil, 0, err
	}
	args = append([]string{"log", "--no-color", "--no-show-signature", "-z", "--format=%H%n%an <%ae>%n%s", "--max-count", strconv.Itoa(gitgate.MaxKept)}, newObjects...)
	if out, err = p.git.output(ctx, tips(p.updates), args...); err != nil {
		return nil, 0, err
	}
	for entry := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		fields := strings.SplitN(entry, "\n", 3)
		if len(fields) == 3 {
			list = append(list, gitgate.Commit{
				Name: fields[0], Author: truncate(redact(fields[1], p.hits), maxExcerpt), Subject: truncate(redact(fields[2], p.hits), maxExcerpt),
			})
		}
	}
	return list, count, nil
}

// forget removes the refusals that were tried longest ago until at most n are left.
// Those that an operator let through stay, so that none is let through twice.
func (g *Gate) forget(n int) error {
	all, err := gitgate.Refusals(g.stateDir)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(r gitgate.Refusal) bool { return r.AllowedBy != "" })
	for _, r := range all[min(n, len(all)):] {
		if err := os.Remove(filepath.Join(g.stateDir, gitgate.RefusedDir, r.ID+".json")); err != nil {
			return err
		}
	}
	return nil
}

// allowed returns the operator who let a refused push through; empty for nobody. An
// allowance counts until the push has landed.
func (g *Gate) allowed(id string) string {
	g.noteAllowance(id)
	r, err := gitgate.ReadRefusal(g.stateDir, id)
	if err != nil || !r.LandedAt.IsZero() {
		return ""
	}
	return r.AllowedBy
}

// noteAllowance records, once, that an operator let a refused push through.
func (g *Gate) noteAllowance(id string) {
	g.refusals.Lock()
	defer g.refusals.Unlock()
	a, err := gitgate.ReadAllowance(g.configDir, id)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var r gitgate.Refusal
	if err == nil {
		r, err = gitgate.ReadRefusal(g.stateDir, id)
	}
	if err == nil && r.AllowedBy != "" {
		return
	}
	if err == nil {
		r.AllowedBy, r.AllowedAt = a.By, a.At
		err = g.record(gitgate.Record{
			Event: gitgate.EventAllow, Verdict: gitgate.VerdictAllow, Reason: gitgate.ReasonAllowedOnce,
			Repository: r.Repository, Updates: r.Updates, Refusal: id, By: a.By,
		}, time.Now())
	}
	if err == nil {
		err = r.Write(g.stateDir)
	}
	if err != nil {
		g.log.Error("allowance", "id", id, "error", err)
	}
}

// usedUp marks a refused push that went through.
func (g *Gate) usedUp(id string) error {
	g.refusals.Lock()
	defer g.refusals.Unlock()
	r, err := gitgate.ReadRefusal(g.stateDir, id)
	if err != nil {
		return err
	}
	r.LandedAt = time.Now().UTC()
	return r.Write(g.stateDir)
}
