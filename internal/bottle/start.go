package bottle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/podbottle/podbottle/internal/blueprint"
	"github.com/podbottle/podbottle/internal/gitgate"
	"github.com/podbottle/podbottle/internal/manifest"
	"github.com/podbottle/podbottle/internal/pod"
	"github.com/podbottle/podbottle/internal/provider"
	"github.com/podbottle/podbottle/internal/resolve"
	"github.com/podbottle/podbottle/internal/state"
	"github.com/podbottle/podbottle/internal/supervise"
)

// teardownTime bounds the removal of a bottle, which a cancelled start does not cut short.
const teardownTime = 30 * time.Second

// launch is one start under way.
type launch struct {
	*Launcher
	request  Request
	client   *pod.Client
	lock     *state.BottleLock
	plan     *resolve.Plan
	firewall FirewallChoice
	runsc    string // absolute path; empty for crun
	limits   blueprint.Limits
	sidecar  pod.Sidecar
	runtime  string   // runtime directory
	resumed  bool     // the state is an earlier session's or installation's: it outlives a failed start
	keptHome bool     // and so is the agent's home
	units    bool     // for systemd: the bottle may run already under the names it will have
	earlier  *earlier // for systemd: what the state of the installation that there is says; nil for none
	standIns bool     // for systemd: values of forwarded variables are not looked up
}

// Start runs a bottle to its end, or to the point where its user leaves it, and
// returns the agent's exit status.
func (l *Launcher) Start(ctx context.Context, r Request) (int, error) {
	code, err := l.start(ctx, r)
	if err != nil && code == 0 && ctx.Err() != nil {
		return interrupted(ctx), context.Cause(ctx)
	}
	return code, err
}

func (l *Launcher) start(ctx context.Context, r Request) (int, error) {
	client, err := pod.Connect(ctx)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	s := &launch{Launcher: l, request: r, client: client, resumed: r.Spec.Identity != ""}
	if err := s.specify(ctx); err != nil {
		return 0, err
	}
	defer s.unlock()
	if err := s.prepare(ctx); err != nil {
		return 0, err
	}
	if r.DryRun {
		return 0, errors.Join(s.dryRun(), s.discard())
	}
	if err := s.check(); err != nil {
		return 0, errors.Join(err, s.discard())
	}
	if err := s.confirm("Start this bottle?"); err != nil {
		return 0, errors.Join(err, s.discard())
	}
	return s.run(ctx)
}

// specify completes what was asked for: a resumed bottle's specification is the
// one that it was started with.
func (s *launch) specify(ctx context.Context) (err error) {
	if !s.resumed {
		s.request.Spec.UserCwd = s.Cwd
		s.request.Spec.Runtime = s.request.Runtime
		return nil
	}
	slug, err := s.findKept(ctx, s.client, s.request.Spec.Identity)
	if err != nil {
		return err
	}
	if s.OwnedBySystemd(slug) {
		return fmt.Errorf("bottle %s is installed as units; start it with: podbottle quadlet start %s", slug, slug)
	}
	meta, err := state.ReadMetadata(s.Root, slug)
	if err != nil {
		return err
	}
	s.request.Spec = resolve.SpecOf(meta)
	if s.request.Firewall.Engine == "" {
		s.request.Firewall.Engine = s.request.Spec.Firewall
	}
	if s.request.Runtime == "" {
		s.request.Runtime = s.request.Spec.Runtime
	}
	s.request.Spec.Runtime = s.request.Runtime
	return nil
}

// prepare decides everything: afterwards there is a plan, and files in the state
// tree, but no Podman object. The bottle is locked then, or at an error may be.
func (s *launch) prepare(ctx context.Context) (err error) {
	if s.firewall, err = firewall(s.request.Firewall, s.Config.Firewall); err != nil {
		return err
	}
	if s.runsc, err = s.chooseRuntime(); err != nil {
		return err
	}
	if s.limits, err = limits(s.request.Limits, s.Config.Limits, totalMemory()); err != nil {
		return err
	}
	// Not the directory of the call: a resumed bottle's agent may be of the
	// repository that it was started in.
	index, err := manifest.Open(s.Root, s.request.Spec.UserCwd)
	if err != nil {
		return err
	}
	claim := func(slug string) (err error) {
		if s.lock, err = state.Lock(s.Root, slug); err != nil {
			return err
		}
		switch {
		case s.units:
			return s.takeOver(slug)
		case s.resumed:
			return s.pickUp(ctx, slug)
		}
		return nil
	}
	s.request.Spec.Firewall = s.firewall.Engine
	host := s.host(ctx, s.client, s.runsc != "", claim)
	host.StandIns = s.standIns
	if s.units {
		host.Exists = func(string, string) (bool, error) { return false, nil }
	}
	if s.plan, err = resolve.Resolve(ctx, host, index, s.request.Spec); err != nil {
		return err
	}
	if s.plan.Supervise != nil {
		if s.plan.Supervise.OnApproval, err = s.onApproval(); err != nil {
			return errors.Join(err, s.discard())
		}
	}
	if s.request.Trial != nil {
		s.try(s.request.Trial)
	}
	for _, warning := range s.plan.Warnings {
		fmt.Fprintln(s.Err, "Warning:", warning)
	}
	s.runtime, err = s.RuntimeDir(s.plan.Slug)
	return err
}

// check looks for what would fail later, so that it is said before the question:
// tokens that are not set, keys that cannot be used.
func (s *launch) check() error {
	if _, err := resolve.Tokens(s.plan, s.Lookup); err != nil {
		return err
	}
	sock, _ := s.Lookup("SSH_AUTH_SOCK")
	return gitgate.Preflight(s.plan.GitGate, sock)
}

// onApproval is what becomes of the agent's proposals; nobody watches a headless agent.
func (s *launch) onApproval() (supervise.OnApproval, error) {
	switch {
	case s.request.OnApproval != "":
		return supervise.ParseOnApproval(s.request.OnApproval)
	case s.request.Headless:
		return 0, nil
	default:
		return supervise.DefaultWait, nil
	}
}

// chooseRuntime returns the path of runsc, or nothing for Podman's default runtime.
func (s *launch) chooseRuntime() (string, error) {
	if s.request.Runtime == RuntimeCrun {
		if s.Config.RequireRunsc {
			return "", fmt.Errorf("%s requires runsc; take require_runsc out of it to run under crun", s.Config.Path)
		}
		return "", nil
	}
	path, err := pod.FindRunsc()
	if errors.Is(err, pod.ErrNoRunsc) && s.request.Runtime != RuntimeRunsc && !s.Config.RequireRunsc {
		return "", nil
	}
	return path, err
}

// dryRun prints what would be started.
func (s *launch) dryRun() error {
	if !s.request.JSON {
		return s.preflight(s.Err)
	}
	encoder := json.NewEncoder(s.Out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(s.plan)
}

// confirm shows the preflight and asks. Where there is nobody to ask, it says so only
// now: what is wrong with the bottle itself has been said before.
func (s *launch) confirm(question string) error {
	if !s.request.Yes && !s.Interactive {
		return errors.New("there is no terminal to ask on; say --yes to go on without asking")
	}
	if err := s.preflight(s.Err); err != nil {
		return err
	}
	if s.request.Yes {
		return nil
	}
	answer, err := s.Ask(question + " [y/N] ")
	if err != nil {
		return err
	}
	if !IsYes(answer) {
		return ErrDeclined
	}
	return nil
}

// discard removes the state of a bottle that never ran; an earlier session's stays.
func (s *launch) discard() error { return resolve.Abandon(s.Root, s.plan, pod.RemoveTree) }

// unlock gives the bottle's lock back, if it is held.
func (s *launch) unlock() {
	if s.lock != nil {
		_ = s.lock.Unlock()
	}
}

// run launches the bottle and sees its session through.
func (s *launch) run(ctx context.Context) (int, error) {
	attachment, err := s.up(ctx)
	if ctx.Err() != nil {
		return interrupted(ctx), s.abandon(ctx, context.Cause(ctx))
	}
	if err != nil {
		return 0, s.abandon(ctx, err)
	}
	if err := resolve.SaveLaunch(s.Root, s.plan); err != nil {
		fmt.Fprintln(s.Err, "Warning:", err)
	}
	if s.request.Detach {
		fmt.Fprintln(s.Out, s.plan.Slug)
		return 0, nil
	}
	code, err := attachment.Run(ctx)
	return s.sessionEnd(ctx, s.plan.Slug, code, err)
}

// up creates the bottle and starts it; the attachment is nil for a detached one.
func (s *launch) up(ctx context.Context) (attachment *pod.Attachment, err error) {
	images, err := s.ensureImages(ctx)
	if err != nil {
		return nil, err
	}
	secrets, err := s.secrets()
	if err != nil {
		return nil, err
	}
	b, err := s.blueprint(images, secrets)
	if err != nil {
		return nil, err
	}
	if s.plan.Supervise != nil {
		if err := supervise.CreateQueue(s.plan.Supervise.QueueDir); err != nil {
			return nil, err
		}
	}
	inst, err := s.client.Create(ctx, b, pod.UpOptions{RuntimeDir: s.runtime, Runsc: s.runsc, DataDir: s.dataDir(), Steps: s.Progress.Step})
	if err != nil {
		return nil, err
	}
	if inst.Unenforced != "" {
		fmt.Fprintln(s.Err, "Warning:", inst.Unenforced)
	}
	if !s.request.Detach {
		in, err := s.input()
		if err != nil {
			return nil, err
		}
		if attachment, err = s.client.Attach(ctx, inst.Agent(), s.terminal(), pod.IO{In: in, Out: s.Out, Err: s.Err}); err != nil {
			return nil, err
		}
	}
	if err := inst.Start(ctx, s.Progress.Step); err != nil {
		if attachment != nil {
			_ = attachment.Close()
		}
		return nil, err
	}
	return attachment, nil
}

// terminal tells whether the agent has one.
func (s *launch) terminal() bool {
	return !s.request.Headless && (s.Terminal || s.request.Detach)
}

// input is what the agent reads.
func (s *launch) input() (*os.File, error) {
	if !s.request.Headless {
		return s.In, nil
	}
	if s.request.Prompt == nil {
		return os.Open(os.DevNull)
	}
	return s.request.Prompt, nil
}

// argv is the agent's command line.
func (s *launch) argv() ([]string, error) {
	return provider.Argv(s.plan.AgentProvision, provider.Session{
		PromptFile:    promptPath(s.plan),
		Headless:      s.request.Headless,
		Resume:        s.request.Resume,
		RemoteControl: s.request.RemoteControl,
	})
}

// abandon takes down what a failed start left.
func (s *launch) abandon(ctx context.Context, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), teardownTime)
	defer cancel()
	done := s.Progress.Step("take down what was made")
	err := s.client.Down(ctx, s.plan.Slug, s.runtime, s.resumed)
	done(err)
	return errors.Join(cause, err, s.discard())
}

// IsYes accepts y and yes and nothing else: no default, no approval by Enter.
func IsYes(answer string) bool { return answer == "y" || answer == "Y" || answer == "yes" }

// totalMemory is the machine's, in bytes; 0 when it cannot be told.
func totalMemory() int64 {
	file, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0
	}
	defer file.Close()
	var kilobytes int64
	if _, err := fmt.Fscanf(io.LimitReader(file, 128), "MemTotal: %d kB", &kilobytes); err != nil {
		return 0
	}
	return kilobytes << 10
}
