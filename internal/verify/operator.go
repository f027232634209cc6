package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/podbottle/podbottle/internal/audit"
	"github.com/podbottle/podbottle/internal/blueprint"
	"github.com/podbottle/podbottle/internal/breakage"
	"github.com/podbottle/podbottle/internal/gitgate"
	"github.com/podbottle/podbottle/internal/pod"
	"github.com/podbottle/podbottle/internal/verify/probe"
)

func operatorProbes() []hostProbe {
	return []hostProbe{
		{Probe: probe.Probe{
			ID:      "operator.escapes",
			Tried:   "have the agent print, and send to egress, text that upsets a terminal; then show the logs and the audit file as the operator sees them",
			Control: "the text's mark is shown",
			Breach:  "a control character, or one that turns the direction of writing, is shown",
		}, run: escapesProbe, own: true},
		{Probe: probe.Probe{
			ID:      "operator.proposals",
			Tried:   "have the agent ask supervise for a host and an image in such text, as justification and as Containerfile; then list and show the proposals, and the audit files",
			Control: "the text's mark is shown",
			Breach:  "a control character, or one that turns the direction of writing, is shown",
		}, run: proposalsProbe, own: true, plain: true},
		{Probe: probe.Probe{
			ID: "operator.git",
			Tried: "put records there as git-gate writes them (this bottle has none), of pushes with such names of branches and files, authors, messages and words of a remote; " +
				"then show them: podbottle git, git --show and audit",
			Control: "the text's mark is shown by each",
			Breach:  "a control character, or one that turns the direction of writing, is shown",
		}, run: gitProbe, own: true, plain: true},
	}
}

// escapesProbe shows the agent's own output, which it begins with probe.Escapes.
func escapesProbe(ctx context.Context, r *run) probe.Result {
	var out bytes.Buffer
	l := r.ownLauncher(&out, &out)
	for _, service := range []blueprint.Service{blueprint.Agent, blueprint.Egress} {
		if err := l.Logs(ctx, r.slug, string(service), pod.LogRange{}, breakage.Has("escapes")); err != nil {
			return incomplete("%v", err)
		}
	}
	if !strings.Contains(out.String(), r.mark+"-hold-1") {
		return incomplete("the mark that the agent printed is not shown")
	}
	if c := acting(out.String()); c != 0 {
		return breach("the logs show the character %U", c)
	}
	return held("the mark is shown", "%d bytes of logs, none of them acts on a terminal", out.Len())
}

// acting returns a character of a text that a terminal acts on, or that turns the
// direction of writing; 0 for none.
func acting(text string) rune {
	for _, c := range text {
		switch {
		case c == '\n':
		case c < ' ', c == 0x7f, c >= 0x80 && c < 0xa0, c >= 0x202a && c <= 0x202e, c >= 0x2066 && c <= 0x2069:
			return c
		}
	}
	return 0
}

// proposalsProbe shows what the agent asks for.
func proposalsProbe(ctx context.Context, r *run) probe.Result {
	mark := r.mark + "-ask-1"
	var taken int
	if err := r.part(ctx, &taken, "propose", mark); err != nil {
		return incomplete("supervise takes no proposal: %v", err)
	}
	list, err := r.podbottle(ctx, "approvals", "list", "--all", "--format", "json")
	if err != nil {
		return incomplete("%v", err)
	}
	var entries []struct {
		Proposal struct{ ID string }
	}
	if err := json.Unmarshal([]byte(list), &entries); err != nil || len(entries) != taken {
		return incomplete("of %d proposals %d are listed: %v", taken, len(entries), err)
	}
	shows := [][]string{{"approvals", "list", "--all"}, {"audit", r.slug}, {"audit", r.slug, "--format", "json"}}
	for _, e := range entries {
		shows = append(shows, []string{"approvals", "show", e.Proposal.ID}, []string{"approvals", "show", e.Proposal.ID, "--format", "json"})
	}
	return r.shown(ctx, mark, list, shows...)
}

// gitProbe shows pushes that were refused.
func gitProbe(ctx context.Context, r *run) probe.Result {
	mark := r.mark + "-git-1"
	id, err := r.putPushes(probe.Escapes + mark)
	if err != nil {
		return incomplete("%v", err)
	}
	return r.shown(ctx, mark, "", []string{"git", r.slug}, []string{"git", r.slug, "--show", id}, []string{"git", r.slug, "--show", id, "--format", "json"}, []string{"audit", r.slug})
}

// putPushes writes what git-gate keeps of a push that it refused, and returns its ID.
func (r *run) putPushes(text string) (id string, err error) {
	dir := filepath.Join(r.stateDirs()[0], string(blueprint.GitGate), "data")
	updates := []gitgate.Update{{Ref: "refs/heads/" + text, Old: strings.Repeat("0", 40), New: strings.Repeat("1", 40)}}
	var findings []gitgate.Finding
	for _, place := range []gitgate.Place{gitgate.PlaceRef, gitgate.PlaceFile, gitgate.PlaceName, gitgate.PlaceMessage, gitgate.PlaceAuthor, gitgate.PlaceTag} {
		findings = append(findings, gitgate.Finding{Reason: gitgate.ReasonSecret, Rule: "rule", Description: text, Place: place, Path: text, Ref: updates[0].Ref, Excerpt: text})
	}
	now := time.Now().UTC()
	refusal := gitgate.Refusal{
		ID: gitgate.RefusalID(text, updates), First: now, Last: now, Attempts: 1, Repository: text, Remote: text, Updates: updates,
		Findings: findings, FindingCount: len(findings), Commits: []gitgate.Commit{{Name: strings.Repeat("1", 40), Author: text, Subject: text}}, CommitCount: 1,
	}
	kept, err := json.Marshal(refusal)
	if err != nil {
		return "", err
	}
	refused := filepath.Join(dir, gitgate.RefusedDir)
	if err := errors.Join(os.MkdirAll(refused, 0o700), os.WriteFile(filepath.Join(refused, refusal.ID+".json"), kept, 0o600)); err != nil {
		return "", err
	}
	file, err := audit.Open(filepath.Join(dir, gitgate.AuditFile))
	if err != nil {
		return "", err
	}
	_, err = file.Append(gitgate.Record{
		Time: now, Slug: r.slug, Event: gitgate.EventPush, Verdict: gitgate.VerdictDeny, Reason: gitgate.ReasonSecret, Repository: text,
		Updates: updates, Findings: findings, FindingCount: len(findings), Refusal: refusal.ID, Detail: text,
	})
	return refusal.ID, errors.Join(err, file.Close())
}

// shown judges what commands of podbottle show, and one text more.
func (r *run) shown(ctx context.Context, mark, text string, commands ...[]string) probe.Result {
	size := len(text)
	for _, args := range commands {
		said, err := r.podbottle(ctx, args...)
		name := strings.Join(args, " ")
		switch text += said; {
		case err != nil:
			return incomplete("%v", err)
		case acting(said) != 0:
			return breach("podbottle %s shows the character %U", name, acting(said))
		case !strings.Contains(said, mark) && args[0] != "approvals":
			return incomplete("podbottle %s does not show the mark", name)
		}
		size += len(said)
	}
	switch {
	case acting(text) != 0:
		return breach("the character %U is shown", acting(text))
	case !strings.Contains(text, mark):
		return incomplete("the mark is not shown")
	}
	return held("the mark is shown", "%d bytes of %d commands, none of them acts on a terminal", size, len(commands))
}

// podbottle runs this program for the trial's state tree and returns all that it says.
func (r *run) podbottle(ctx context.Context, args ...string) (string, error) {
	command := exec.CommandContext(ctx, "/proc/self/exe", args...) // #nosec G204 -- this program
	command.Env = append(os.Environ(), "BOT_BOTTLE_ROOT="+r.ownLauncher(nil, nil).Root)
	out, err := command.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("podbottle %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), err
}
