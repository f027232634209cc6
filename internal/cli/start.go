package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/podbottle/podbottle/internal/bottle"
	"github.com/podbottle/podbottle/internal/config"
	"github.com/podbottle/podbottle/internal/exitstatus"
	"github.com/podbottle/podbottle/internal/pipelock"
)

// launchFlags are shared by start and resume.
type launchFlags struct {
	yes, dryRun, detach, headless, remoteControl, requireRunsc bool

	format, prompt, runtime, firewall, onApproval string
	memory, cpus                                  string
	tasks                                         int64
}

func (f *launchFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVarP(&f.yes, "yes", "y", false, "start without asking")
	flags.BoolVar(&f.dryRun, "dry-run", false, "stop after the preflight (BOT_BOTTLE_DRY_RUN=1 does the same)")
	chooseJSON(cmd, &f.format, "with --dry-run: json prints the plan on standard output")
	flags.BoolVarP(&f.detach, "detach", "d", false, "print the slug and return; come back with podbottle attach")
	flags.BoolVar(&f.headless, "headless", false, "run one prompt without a terminal and print the answer")
	flags.StringVarP(&f.prompt, "prompt", "p", "", "with --headless: the prompt, or - for standard input")
	flags.BoolVar(&f.remoteControl, "remote-control", false, "start the agent with its remote-control arguments")
	chooseRuntime(cmd, &f.runtime)
	flags.BoolVar(&f.requireRunsc, "require-runsc", false, "refuse to start without runsc")
	chooseFirewall(cmd, &f.firewall, firewallUsage)
	flags.StringVar(&f.onApproval, "on-approval", "", "what becomes of the agent's proposals: deny, or wait=DURATION")
	flags.StringVarP(&f.memory, "memory", "m", "", "memory limit of the agent, such as 4g; 0 for none")
	flags.StringVar(&f.cpus, "cpus", "", "number of CPUs the agent may use, such as 1.5")
	flags.Int64Var(&f.tasks, "pids-limit", 0, "most tasks the agent may have; -1 for no limit")
	complete(cmd, "on-approval", completeOnApproval)
}

// request checks the flags against each other.
func (f *launchFlags) request() (bottle.Request, error) {
	r := bottle.Request{
		Yes: f.yes, DryRun: f.dryRun || os.Getenv("BOT_BOTTLE_DRY_RUN") == "1", JSON: f.format == "json",
		Detach: f.detach, Headless: f.headless, RemoteControl: f.remoteControl,
		Runtime: f.runtime, OnApproval: f.onApproval, Term: os.Getenv("TERM"),
		Firewall: bottle.FirewallChoice{Engine: pipelock.Engine(f.firewall)},
		Limits:   config.Limits{Memory: f.memory, Tasks: f.tasks, CPUs: f.cpus},
	}
	switch {
	case f.format != "" && !r.DryRun:
		return r, errors.New("--format goes with --dry-run")
	case f.prompt != "" && !f.headless:
		return r, errors.New("--prompt goes with --headless")
	case f.headless && f.prompt == "":
		return r, errors.New("--headless needs --prompt TEXT, or --prompt - to read it from standard input")
	case f.headless && f.detach:
		return r, errors.New("--headless and --detach exclude each other")
	case f.requireRunsc && f.runtime == bottle.RuntimeCrun:
		return r, errors.New("--require-runsc and --runtime crun exclude each other")
	case f.requireRunsc:
		r.Runtime = bottle.RuntimeRunsc
	}
	return r, nil
}

// openPrompt gives the prompt as a file to read from.
func (f *launchFlags) openPrompt(s Streams) (*os.File, error) {
	if !f.headless || f.prompt == "-" {
		return s.In, nil
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	go func() {
		_, _ = io.Copy(writer, strings.NewReader(f.prompt))
		_ = writer.Close()
	}()
	return reader, nil
}

func newStart(s Streams) *cobra.Command {
	var f launchFlags
	var copyCwd bool
	var agentFrom, label string
	var bottles []string
	cmd := &cobra.Command{
		Use:   "start AGENT",
		Short: "Start an agent in a bottle of its own",
		Example: `  podbottle start fixer
  podbottle start fixer --cwd --detach --yes
  podbottle start fixer --headless --prompt "Run the tests and say what fails"`,
		Args:              exactArgs(1, "the name of one agent; podbottle list --agents shows those there are"),
		ValidArgsFunction: completeAgents,
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := f.request()
			if err != nil {
				return err
			}
			r.Spec.AgentName = args[0]
			r.Spec.CopyCwd = copyCwd
			r.Spec.BottleNames = bottles
			r.Spec.AgentFromCwd = agentFrom == "cwd"
			r.Spec.Label = label
			return launch(cmd.Context(), s, &f, r)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&copyCwd, "cwd", false, "put a copy of the working directory into the agent's image")
	chooseAgentFrom(cmd, &agentFrom, agentFromUsage)
	addBottles(cmd, &bottles)
	cmd.Flags().StringVar(&label, "label", "", "a name of your own for the bottle")
	return cmd
}

func newResume(s Streams) *cobra.Command {
	var f launchFlags
	var withdraw bool
	cmd := &cobra.Command{
		Use:               "resume SLUG",
		Short:             "Go on with a bottle whose state was kept",
		Args:              exactArgs(1, "the slug of one kept bottle; podbottle list --all shows those there are"),
		ValidArgsFunction: completeKept,
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := f.request()
			if err != nil {
				return err
			}
			r.Resume = true
			r.WithdrawImage = withdraw
			r.Spec.Identity = args[0]
			return launch(cmd.Context(), s, &f, r)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&withdraw, "withdraw-image", false, "go back to the image before the last approved capability-block")
	return cmd
}

// launch runs a request and turns the agent's status into the command's.
func launch(ctx context.Context, s Streams, f *launchFlags, r bottle.Request) error {
	l, err := newLauncher(s)
	if err != nil {
		return err
	}
	if r.Prompt, err = f.openPrompt(s); err != nil {
		return err
	}
	return agentStatus(l.Start(ctx, r))
}

// agentStatus turns an agent's exit status into the command's; it wins over
// podbottle's own, which stands for an error of the teardown.
func agentStatus(code int, err error) error {
	if code != 0 {
		return &exitstatus.Error{Code: code, Err: err}
	}
	return err
}
