// Package verify attacks a bottle and says what held. Most probes run inside the
// agent's container, as the agent and as root (package probe); those here look at
// the bottle from the host. Every refusal is paired with a request that must
// succeed, against servers that verify starts itself.
package verify

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/podbottle/podbottle/internal/blueprint"
	"github.com/podbottle/podbottle/internal/bottle"
	"github.com/podbottle/podbottle/internal/pod"
	"github.com/podbottle/podbottle/internal/verify/probe"
)

// Options say what to attack.
type Options struct {
	// Target is an agent, which is started in a bottle of its own, or the slug of a
	// bottle that runs, which goes on running; empty for a bottle of verify's own.
	Target string
	// Image is the agent's in a bottle of verify's own; empty for the sidecars', which
	// holds one static program.
	Image    string
	Runtime  string // as in bottle.Request
	Firewall bottle.FirewallChoice
}

// run is one verification under way.
type run struct {
	launcher *bottle.Launcher
	options  Options
	client   *pod.Client
	mark     string // begins every mark of this run
	token    string // the credential of the trial's route
	secret   string // the value of a forwarded variable, which the agent has and Podman must not
	plain    string // the value of a variable that is no secret
	ordinary string // what files of the other bottle's working directory hold
	canary   string // what a file beside it holds

	slug      string
	other     string   // a second bottle of verify's, which nothing is done to; empty for none
	blocked   error    // what kept it from starting on its working directory
	own       bool     // verify started the bottle
	ended     bool     // and has taken it down
	dir       string   // temporary; holds the state tree of verify's own bottle
	servers   *servers // nil for a bottle that runs already
	key       *hostKey // nil where this machine has no keyrings
	summary   pod.Summary
	layout    pod.Layout
	filters   int      // seccomp filters that the agent has not of its own
	secrets   []string // what must be found nowhere in the agent
	listening []uint16 // ports on which anything in the pod listens
	reachable bool     // the pod reaches the servers
	answers   bool     // the other bottle's egress answers, in its own pod
}

// Run attacks a bottle. The error is for what kept it from being attacked at all; when
// ctx ended it is the cause.
func Run(ctx context.Context, l *bottle.Launcher, o Options) (*Report, error) {
	report, err := verify(ctx, l, o)
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx) // and not what broke off when it did
	}
	return report, err
}

func verify(ctx context.Context, l *bottle.Launcher, o Options) (*Report, error) {
	r := &run{launcher: l, options: o, mark: "pbv" + random(6)}
	r.token, r.secret, r.plain = "pbtoken"+random(20), "pbsecret"+random(20), "pbplain"+random(8)
	r.ordinary, r.canary = "pbordinary"+random(8)+probe.EveryByte(), "pbcanary"+random(20)
	started := time.Now()
	var err error
	if r.client, err = pod.Connect(ctx); err != nil {
		return nil, err
	}
	defer r.client.Close()
	step := "start the bottle"
	if o.Target != "" { // which may run already
		step = "start or enter the bottle"
	}
	done := l.Progress.Step(step)
	err = r.open(ctx)
	done(err)
	defer func() { r.close(context.WithoutCancel(ctx), ctx.Err() != nil) }()
	if err != nil {
		return nil, err
	}
	r.key = plantKey(r.keyName(), r.secret)
	done = l.Progress.Step("attack it")
	results, err := r.attack(ctx)
	done(err)
	if err != nil {
		return nil, err
	}
	report := r.report(results)
	report.Started, report.Duration = started, time.Since(started)
	return report, nil
}

// attack runs all probes and judges them by what the servers got.
func (r *run) attack(ctx context.Context) ([]probe.Result, error) {
	if err := r.locate(ctx); err != nil {
		return nil, err
	}
	var results []probe.Result
	for _, user := range []string{"agent", "root"} {
		inside, err := r.inside(ctx, user)
		if err != nil {
			return nil, err
		}
		results = append(results, inside...)
	}
	for i := range results {
		results[i] = r.judge(results[i])
	}
	breakState(r)
	for _, p := range hostProbes() {
		if p.own && !r.own || p.plain && r.options.Target != "" {
			continue
		}
		result := p.run(ctx, r)
		result.ID = p.ID
		results = append(results, result)
	}
	return results, ctx.Err() // which made the last ones incomplete
}

// locate asks Podman where everything is, collects the secrets, and makes sure
// that the servers can be reached from where egress is.
func (r *run) locate(ctx context.Context) (err error) {
	if r.summary, err = r.client.Find(ctx, r.slug); err != nil {
		return err
	}
	if r.layout, err = r.client.Layout(ctx, r.slug); err != nil {
		return err
	}
	if r.filters, err = r.client.InheritedFilters(ctx, r.summary.Container); err != nil {
		return err
	}
	if r.secrets, err = r.collectSecrets(); err != nil {
		return err
	}
	command := []string{blueprint.SidecarBin, "probe", "listening"}
	if err := r.exec(ctx, pod.ContainerOf(r.slug, blueprint.Egress), "", command, nil, &r.listening); err != nil {
		return err
	}
	if len(r.layout.Others) > 0 {
		if r.answers, err = r.reachOther(ctx); err != nil {
			return err
		}
	}
	if r.servers == nil {
		return nil
	}
	r.secrets = append(r.secrets, r.token)
	r.reachable, err = r.reachServers(ctx)
	return err
}

// users are who the probes run as, uid:gid.
var users = map[string]string{"agent": blueprint.AgentUser, "root": "0:0"}

// inside runs the probes of the package probe in the agent's container.
func (r *run) inside(ctx context.Context, user string) ([]probe.Result, error) {
	task, err := r.task(user)
	if err != nil {
		return nil, err
	}
	command := []string{blueprint.Handover, "handover", "--exec", "--", blueprint.Handover, "probe"}
	var results []probe.Result
	if err := r.exec(ctx, r.summary.Container, users[user], command, task, &results); err != nil {
		return nil, fmt.Errorf("probes as %s: %w", user, err)
	}
	return results, nil
}

// judge adds to a probe's own result what the servers saw: a mark that arrived is
// a breach, and a control that did not makes the probe incomplete.
func (r *run) judge(result probe.Result) probe.Result {
	if result.ID == "pod.others" && !r.answers && result.Outcome == probe.Held {
		result.Outcome, result.Seen = probe.Incomplete, "egress of the other bottle does not even answer in its own pod"
	}
	if r.servers == nil || result.Outcome == probe.Incomplete {
		return result
	}
	for _, mark := range result.Absent {
		if where := r.servers.where(mark); where != "" {
			result.Outcome, result.Seen = probe.Breach, "what was sent arrived at "+where
			return result
		}
	}
	for _, mark := range result.Present {
		if !r.servers.arrived(mark) && result.Outcome == probe.Held {
			result.Outcome, result.Seen = probe.Incomplete, "the control did not arrive at the server"
		}
	}
	if !r.reachable && slices.Contains([]string{"host.tcp", "host.udp", "egress.special"}, result.ID) && result.Outcome == probe.Held {
		result.Outcome, result.Seen = probe.Incomplete, "the server, which should be reached from the pod, is not"
	}
	return result
}

// report puts the results into the catalogue's order.
func (r *run) report(results []probe.Result) *Report {
	report := &Report{Slug: r.slug, Runtime: r.summary.Runtime, Firewall: r.summary.Firewall, Held: true}
	for _, p := range Catalogue() {
		found := false
		for _, result := range results {
			if result.ID != p.ID {
				continue
			}
			found = true
			if result.Outcome == notEnforced {
				report.NotEnforced = append(report.NotEnforced, p.ID)
				continue
			}
			report.Lines = append(report.Lines, Line{Probe: p, User: result.User, Outcome: result.Outcome, Seen: result.Seen, Was: result.Control})
			report.Held = report.Held && result.Outcome == probe.Held
		}
		if !found {
			report.LeftOut = append(report.LeftOut, p.ID)
		}
	}
	return report
}

// random is n bytes, as hexadecimal.
func random(n int) string {
	buffer := make([]byte, n)
	_, _ = rand.Read(buffer) // it never fails (crypto/rand)
	return hex.EncodeToString(buffer)
}

// errNoTarget is a target that is neither.
var errNoTarget = errors.New("it is neither a bottle that runs (podbottle list) nor an agent (podbottle list --agents)")
