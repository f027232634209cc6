package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/podbottle/podbottle/internal/bottle"
	"github.com/podbottle/podbottle/internal/config"
	"github.com/podbottle/podbottle/internal/pipelock"
	"github.com/podbottle/podbottle/internal/quadlet"
)

func newQuadlet(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "quadlet",
		Short: "Let systemd own a bottle, as Quadlet units",
		Long: `Let systemd own a bottle, as Quadlet units: it starts at boot or on a timer, its parts are started again when they
end, and its limits are the units'. It is otherwise the bottle that podbottle start makes.`,
		Args: cobra.NoArgs,
		RunE: usage,
	}
	cmd.AddCommand(
		newQuadletGenerate(s), newQuadletInstall(s), newQuadletDiff(s), newQuadletList(s), newQuadletStatus(s), newQuadletLogs(s),
		newQuadletStart(s), newQuadletStop(s), newQuadletRestart(s), newQuadletRefresh(s), newQuadletUninstall(s),
		newQuadletPrepare(s), newQuadletAwait(s),
	)
	return cmd
}

// unitFlags describe a bottle for systemd.
type unitFlags struct {
	name, runtime, firewall, onApproval, memory, cpus string
	agentFrom, label, prompt, onCalendar, subnet      string

	copyCwd, requireRunsc, headless, remoteControl bool

	bottles []string
	tasks   int64
}

func (f *unitFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.name, "name", "", "name of the bottle (default: the agent's)")
	flags.BoolVar(&f.headless, "headless", false, "run one prompt whenever the bottle is started, and end")
	flags.StringVarP(&f.prompt, "prompt", "p", "", "with --headless: the prompt, or - for standard input")
	flags.StringVar(&f.onCalendar, "on-calendar", "", "with --headless: a timer, as in systemd.time(7)")
	chooseRuntime(cmd, &f.runtime)
	flags.BoolVar(&f.requireRunsc, "require-runsc", false, "refuse without runsc")
	chooseFirewall(cmd, &f.firewall, firewallUsage)
	flags.StringVar(&f.onApproval, "on-approval", "", "what becomes of the agent's proposals: deny, or wait=DURATION")
	flags.StringVarP(&f.memory, "memory", "m", "", "memory limit of the agent, such as 4g; 0 for none")
	flags.StringVar(&f.cpus, "cpus", "", "number of CPUs the agent may use, such as 1.5")
	flags.Int64Var(&f.tasks, "pids-limit", 0, "most tasks the agent may have; -1 for no limit")
	flags.BoolVar(&f.remoteControl, "remote-control", false, "start the agent with its remote-control arguments")
	flags.BoolVar(&f.copyCwd, "cwd", false, "put a copy of the working directory into the agent's image")
	chooseAgentFrom(cmd, &f.agentFrom, agentFromUsage)
	addBottles(cmd, &f.bottles)
	flags.StringVar(&f.label, "label", "", "a text of your own for the bottle")
	flags.StringVar(&f.subnet, "subnet", "", "subnet of the internal network (default: one that is free)")
	complete(cmd, "on-approval", completeOnApproval)
}

// request checks the flags against each other.
func (f *unitFlags) request(s Streams, agent string) (bottle.UnitRequest, error) {
	r := bottle.UnitRequest{
		Runtime: f.runtime, Firewall: bottle.FirewallChoice{Engine: pipelock.Engine(f.firewall)}, OnApproval: f.onApproval,
		Limits: config.Limits{Memory: f.memory, Tasks: f.tasks, CPUs: f.cpus}, Term: cmp.Or(os.Getenv("TERM"), "xterm-256color"),
		Headless: f.headless, RemoteControl: f.remoteControl, Prompt: f.prompt, OnCalendar: f.onCalendar,
	}
	r.Spec.AgentName, r.Spec.Identity = agent, cmp.Or(f.name, agent)
	r.Spec.CopyCwd, r.Spec.BottleNames, r.Spec.Label, r.Spec.AgentFromCwd = f.copyCwd, f.bottles, f.label, f.agentFrom == "cwd"
	switch {
	case f.headless == (f.prompt == ""):
		return r, errors.New("--headless and --prompt go together: say both, or neither")
	case f.onCalendar != "" && !f.headless:
		return r, errors.New("--on-calendar goes with --headless")
	case f.requireRunsc && f.runtime == bottle.RuntimeCrun:
		return r, errors.New("--require-runsc and --runtime crun exclude each other")
	case f.requireRunsc:
		r.Runtime = bottle.RuntimeRunsc
	}
	if f.prompt == "-" {
		text, err := io.ReadAll(s.In)
		if err != nil {
			return r, fmt.Errorf("prompt: %w", err)
		}
		r.Prompt = string(text)
	}
	if f.subnet != "" {
		subnet, err := netip.ParsePrefix(f.subnet)
		if err != nil || !subnet.Addr().Is4() {
			return r, fmt.Errorf("--subnet %q is not an IPv4 subnet such as 10.201.7.0/24", f.subnet)
		}
		r.Subnet = subnet.Masked()
	}
	cwd, err := os.Getwd()
	r.Spec.UserCwd = cwd
	return r, err
}

func newQuadletGenerate(s Streams) *cobra.Command {
	var f unitFlags
	var out string
	cmd := &cobra.Command{
		Use:   "generate AGENT",
		Short: "Print the units of a bottle",
		Long: `Print the units of a bottle, or write them to a directory. They name files and secrets that only
podbottle quadlet install makes.`,
		Args:              exactArgs(1, "the name of one agent; podbottle list --agents shows those there are"),
		ValidArgsFunction: completeAgents,
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := newLauncher(s)
			if err != nil {
				return err
			}
			r, err := f.request(s, args[0])
			if err != nil {
				return err
			}
			units, err := l.Generate(cmd.Context(), r)
			if err != nil {
				return err
			}
			if out == "-" {
				return printUnits(s.Out, units)
			}
			return writeUnits(out, units)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVarP(&out, "out", "o", "-", "directory to write the files to; - prints them")
	return cmd
}

// printUnits prints units under their names.
func printUnits(w io.Writer, units []quadlet.Unit) error {
	for i, u := range units {
		if _, err := fmt.Fprintf(w, "%s==> %s <==\n%s", strings.Repeat("\n", min(i, 1)), u.Name, u.Text); err != nil {
			return err
		}
	}
	return nil
}

// writeUnits writes units to a directory.
func writeUnits(dir string, units []quadlet.Unit) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { // #nosec G301 -- the user's directory of units
		return err
	}
	for _, u := range units {
		if err := os.WriteFile(filepath.Join(dir, u.Name), []byte(u.Text), 0o644); err != nil { // #nosec G306 -- units hold no secret
			return err
		}
	}
	return nil
}

func newQuadletInstall(s Streams) *cobra.Command {
	var f unitFlags
	var yes, now bool
	cmd := &cobra.Command{
		Use:   "install AGENT",
		Short: "Make a bottle systemd's",
		Example: `  podbottle quadlet install fixer --now
  podbottle quadlet install reviewer --headless --prompt "Review what changed since yesterday" --on-calendar 'Mon..Fri 07:30'`,
		Args:              exactArgs(1, "the name of one agent; podbottle list --agents shows those there are"),
		ValidArgsFunction: completeAgents,
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := newLauncher(s)
			if err != nil {
				return err
			}
			r, err := f.request(s, args[0])
			if err != nil {
				return err
			}
			if err := l.Install(cmd.Context(), r, yes); err != nil {
				return err
			}
			if !now {
				return l.HowToStart(cmd.Context(), r.Spec.Identity)
			}
			return agentStatus(l.RestartUnits(cmd.Context(), r.Spec.Identity))
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "install without asking")
	cmd.Flags().BoolVar(&now, "now", false, "start it, or start it again if it runs")
	return cmd
}
