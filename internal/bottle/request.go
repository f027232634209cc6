package bottle

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"strconv"
	"time"

	"github.com/docker/go-units"
	"github.com/podbottle/podbottle/internal/blueprint"
	"github.com/podbottle/podbottle/internal/config"
	"github.com/podbottle/podbottle/internal/pipelock"
	"github.com/podbottle/podbottle/internal/resolve"
)

// Runtime choices for the agent.
const (
	RuntimeAuto  = ""      // runsc where the host has it
	RuntimeRunsc = "runsc" // or refuse
	RuntimeCrun  = "crun"  // the host's kernel
)

// Request is one start, as the user asked for it.
type Request struct {
	Spec   resolve.Spec
	Resume bool
	// WithdrawImage goes back to the image before the last approved capability change.
	WithdrawImage bool
	Yes           bool
	DryRun        bool
	JSON          bool // with DryRun: print the plan
	Detach        bool
	Headless      bool
	// Prompt is what a headless agent is told; it is read to its end.
	Prompt        *os.File
	RemoteControl bool
	Runtime       string
	Firewall      FirewallChoice
	OnApproval    string
	Limits        config.Limits
	Term          string
	// Trial makes a bottle that is there to be attacked; nil for an ordinary one.
	Trial *Trial
}

// FirewallChoice says which program stands behind egress and where it comes from.
type FirewallChoice struct {
	Engine pipelock.Engine
	Image  string // of pipelock
	Binary string // host path of pipelock
}

// String is what the preflight and list say of the firewall.
func (f FirewallChoice) String() string {
	switch {
	case f.Engine == pipelock.EngineBuiltin:
		return "builtin (not pipelock)"
	case f.Binary != "":
		return "pipelock, " + f.Binary
	default:
		return "pipelock, " + f.Image
	}
}

// firewall fills a choice up from the configuration: a flag wins over it, and
// pipelock's pinned image is the default.
func firewall(flag FirewallChoice, conf config.Firewall) (FirewallChoice, error) {
	choice := flag
	if choice.Engine == "" {
		choice.Engine = conf.Engine
	}
	if choice.Engine == "" {
		choice.Engine = pipelock.EnginePipelock
	}
	if choice.Engine != pipelock.EnginePipelock && choice.Engine != pipelock.EngineBuiltin {
		return choice, fmt.Errorf("firewall %q is unknown; it can be pipelock or builtin", choice.Engine)
	}
	if choice.Engine == pipelock.EngineBuiltin {
		return FirewallChoice{Engine: choice.Engine}, nil
	}
	if choice.Image == "" && choice.Binary == "" {
		choice.Image, choice.Binary = conf.Image, conf.Binary
	}
	if choice.Image == "" && choice.Binary == "" {
		choice.Image = pipelock.DefaultImage
	}
	return choice, nil
}

// limits reads the agent's limits: a flag wins over the configuration, and the
// default leaves the machine to its user.
func limits(flag, conf config.Limits, memTotal int64) (blueprint.Limits, error) {
	const defaultTasks = 8192
	result := blueprint.Limits{Memory: memTotal / 4 * 3, Tasks: defaultTasks}
	if text := cmp.Or(flag.Memory, conf.Memory); text != "" {
		memory, err := units.RAMInBytes(text)
		if err != nil {
			return result, fmt.Errorf("memory limit %q: %w; write it like 4g or 512m, or 0 for none", text, err)
		}
		result.Memory = memory
	}
	switch {
	case flag.Tasks != 0:
		result.Tasks = flag.Tasks
	case conf.Tasks != 0:
		result.Tasks = conf.Tasks
	}
	if text := cmp.Or(flag.CPUs, conf.CPUs); text != "" {
		cpus, err := strconv.ParseFloat(text, 64)
		if err != nil || !(cpus >= 0 && cpus <= math.MaxInt16) { // NaN fits neither
			return result, fmt.Errorf("CPU limit %q is not a number of CPUs such as 1.5", text)
		}
		result.CPUQuota = time.Duration(cpus * float64(time.Second))
	}
	return result, nil
}
