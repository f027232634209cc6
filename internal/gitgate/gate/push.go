package gate

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/podbottle/podbottle/internal/gitgate"
)

// push is one push of the agent, from git's pre-receive hook to the remote's answer.
type push struct {
	gate    *Gate
	mirror  *mirror
	git     git // the mirror's, which sees the objects in quarantine too
	updates []gitgate.Update
	parent  int // process ID of git receive-pack
	hits    []hit
	record  gitgate.Record
	start   time.Time
	say     func(string)
}

// receive judges a push and forwards it. It reports whether git may set the refs in
// the mirror: only when they are set at the remote.
func (g *Gate) receive(ctx, life context.Context, r request, say func(string)) bool {
	p := &push{gate: g, parent: r.Parent, start: time.Now(), say: func(line string) { say("podbottle: " + line) }}
	p.record = gitgate.Record{Event: gitgate.EventPush, Verdict: gitgate.VerdictDeny}
	reason, err := p.run(ctx, life, r)
	p.record.Reason = reason
	switch {
	case err != nil:
		p.record.Detail = truncate(redact(err.Error(), p.hits), maxSaid)
		p.say(p.record.Detail)
	case reason == gitgate.ReasonLanded:
		p.record.Verdict = gitgate.VerdictAllow
	}
	_ = g.record(p.record, p.start)
	return reason == gitgate.ReasonLanded
}

// run takes the steps in their order: nothing reaches the remote before the last.
// An error is something to tell the agent besides the reason.
func (p *push) run(ctx, life context.Context, r request) (reason gitgate.Reason, err error) {
	if p.mirror, err = p.gate.find(r.Dir); err != nil {
		return gitgate.ReasonUnknown, err
	}
	p.record.Repository = p.mirror.repo.Name
	if p.git, err = p.mirror.withQuarantine(r.Quarantine); err != nil {
		return gitgate.ReasonInternal, err
	}
	if p.updates, err = parseUpdates(r.Updates, p.gate.config.Limits.Refs); err != nil {
		return gitgate.ReasonLimit, err
	}
	p.record.Updates = p.updates
	reason, err = p.judge(ctx)
	p.record.Updates = redactedUpdates(p.updates, p.hits)
	if reason != "" || err != nil {
		return reason, err
	}
	return p.forward(life)
}

// withQuarantine is git with the objects that were received and are not yet the mirror's.
func (m *mirror) withQuarantine(dir string) (git, error) {
	g := m.git
	if dir == "" {
		return g, nil
	}
	objects := filepath.Join(m.git.dir, "objects")
	if filepath.Dir(filepath.Clean(dir)) != objects {
		return g, errors.New("git keeps the received objects where the gate does not expect them")
	}
	g.env = append(g.env[:len(g.env):len(g.env)], "GIT_OBJECT_DIRECTORY="+dir, "GIT_ALTERNATE_OBJECT_DIRECTORIES="+objects)
	return g, nil
}

// judge applies the remote's policy and the scan. It returns no reason for a push
// that may go on.
func (p *push) judge(ctx context.Context) (gitgate.Reason, error) {
	broken, err := checkPolicy(ctx, p.git, p.mirror.repo, p.updates)
	if err != nil {
		return gitgate.ReasonInternal, err
	}
	detector, err := p.gate.detector()
	if err != nil {
		return gitgate.ReasonInternal, err
	}
	s := &scanner{git: p.git, detector: detector, lfs: p.mirror.repo.LFS, limit: p.gate.config.Limits.Objects}
	p.hits, p.record.Objects, err = s.scan(ctx, p.updates)
	var limit *limitError
	switch {
	case errors.As(err, &limit):
		return gitgate.ReasonLimit, err
	case err != nil:
		return gitgate.ReasonInternal, fmt.Errorf("the push could not be scanned, and so is refused: %w", err)
	}
	findings := append(broken, redacted(p.hits)...)
	if len(findings) == 0 {
		return "", nil
	}
	p.record.Findings, p.record.FindingCount = findings, len(findings)
	return p.refuse(ctx, findings)
}

// checkPolicy compares the updates with what the remote's declaration allows.
func checkPolicy(ctx context.Context, g git, repo gitgate.Repository, updates []gitgate.Update) ([]gitgate.Finding, error) {
	var broken []gitgate.Finding
	for _, u := range updates {
		if !repo.Allows(u.Ref) {
			broken = append(broken, gitgate.Finding{Reason: gitgate.ReasonRef, Ref: u.Ref})
		}
		switch {
		case u.Deletes():
			if !repo.AllowDelete {
				broken = append(broken, gitgate.Finding{Reason: gitgate.ReasonDelete, Ref: u.Ref})
			}
		case !u.Creates() && !repo.AllowForce:
			forward, err := isForward(ctx, g, u)
			if err != nil {
				return nil, err
			}
			if !forward {
				broken = append(broken, gitgate.Finding{Reason: gitgate.ReasonForce, Ref: u.Ref})
			}
		}
	}
	return broken, nil
}

// isForward reports whether an update only adds to a branch. A tag that changes is
// never a step forward (git-push(1), NOTE ABOUT FAST-FORWARDS).
func isForward(ctx context.Context, g git, u gitgate.Update) (bool, error) {
	if strings.HasPrefix(u.Ref, "refs/tags/") {
		return false, nil
	}
	_, err := g.output(ctx, nil, "merge-base", "--is-ancestor", u.Old, u.New)
	if exited(err, 1) || exited(err, 128) { // 128: one of them is no commit
		return false, nil
	}
	return err == nil, err
}

// redactedUpdates are the updates as they may be written down: a ref's name can hold
// a secret.
func redactedUpdates(updates []gitgate.Update, hits []hit) []gitgate.Update {
	shown := make([]gitgate.Update, len(updates))
	for i, u := range updates {
		u.Ref = redact(u.Ref, hits)
		shown[i] = u
	}
	return shown
}

// forward pushes the accepted refs to the remote, all or none, and only from the
// state of the remote that the agent saw. After it landed, nobody else changes the
// mirror's refs until git receive-pack has set them.
func (p *push) forward(life context.Context) (gitgate.Reason, error) {
	m := p.mirror
	if reason, err := p.gate.prepare(m.repo); err != nil {
		return reason, err
	}
	if err := m.lock(life); err != nil {
		return gitgate.ReasonInternal, err
	}
	receivePack, err := unix.PidfdOpen(p.parent, 0)
	if err != nil {
		m.unlock()
		return gitgate.ReasonInternal, fmt.Errorf("git receive-pack: %w", err)
	}
	attempt := p.record
	attempt.Verdict, attempt.Reason = gitgate.VerdictAllow, gitgate.ReasonForwarded
	err = p.gate.record(attempt, p.start)
	if err == nil {
		p.say(fmt.Sprintf("%s; pushing to %s", p.found(), m.repo.Address()))
		err = p.send(life)
	}
	if err != nil {
		_ = unix.Close(receivePack)
		m.unlock()
		return gitgate.ReasonRejected, err
	}
	if p.record.Refusal != "" {
		if err := p.gate.usedUp(p.record.Refusal); err != nil {
			p.gate.log.Error("allowance", "id", p.record.Refusal, "error", err)
		}
	}
	go func() {
		defer m.unlock()
		waitExit(receivePack)
		if err := p.dropMagic(life); err != nil {
			p.gate.log.Error("magic refs", "repository", m.repo.Name, "error", err)
		}
	}()
	p.gate.tidy(life, m)
	return gitgate.ReasonLanded, nil
}

// found says what was found in a push that goes to the remote.
func (p *push) found() string {
	switch n := p.record.FindingCount; n {
	case 0:
		return fmt.Sprintf("nothing found in %d new objects", p.record.Objects)
	case 1:
		return "let through with 1 finding"
	default:
		return fmt.Sprintf("let through with %d findings", n)
	}
}

// receivePackEnd bounds how long git receive-pack takes to set the refs of a push
// that landed.
const receivePackEnd = time.Minute

// waitExit returns when the process of a pidfd has ended, and closes the pidfd.
func waitExit(pidfd int) {
	defer func() { _ = unix.Close(pidfd) }()
	deadline := time.Now().Add(receivePackEnd)
	for {
		left := time.Until(deadline).Milliseconds()
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, max(int(left), 0))
		if err != unix.EINTR && (n > 0 || err != nil || left <= 0) {
			return
		}
	}
}

// dropMagic removes refs/for/* from the mirror: no remote keeps such a ref, and the
// next push to it is new again (Gerrit, Uploading Changes).
func (p *push) dropMagic(ctx context.Context) error {
	var commands strings.Builder
	for _, u := range p.updates {
		if strings.HasPrefix(u.Ref, "refs/for/") && !u.Deletes() {
			fmt.Fprintf(&commands, "delete %s\n", u.Ref)
		}
	}
	if commands.Len() == 0 {
		return nil
	}
	_, err := p.mirror.git.output(ctx, strings.NewReader(commands.String()), "update-ref", "--stdin")
	return err
}
