package probe

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"

	"github.com/podbottle/podbottle/internal/breakage"
)

// Task tells the probes where things are. It is handed over on standard input,
// since it holds the secrets that are looked for.
type Task struct {
	User   string         `json:"user"`   // agent | root: whom the probes run as
	Egress netip.AddrPort `json:"egress"` // the one way out
	Ports  []uint16       `json:"ports"`  // that may answer on the pod's address
	// Listening are all ports on which anything in the pod listens, on any address.
	Listening []uint16     `json:"listening"`
	Subnet    netip.Prefix `json:"subnet"` // of the internal network
	Gateway   netip.Addr   `json:"gateway"`
	Agent     netip.Addr   `json:"agent"`
	// Outside are addresses beyond the internal network that the pod can reach: its
	// own on the uplink, and the uplink's gateway.
	Outside []netip.Addr `json:"outside"`
	// Others are the addresses of other bottles and their gateways; empty for no bottle.
	Others []netip.Addr `json:"others,omitempty"`
	// Host are the addresses of this machine.
	Host []netip.Addr `json:"host"`
	// Server is verify's own; nil where the bottle has no route to it.
	Server *Server `json:"server,omitempty"`
	// Roots are the CA certificates that the agent trusts, PEM.
	Roots []byte `json:"roots"`
	// Secrets must be found nowhere.
	Secrets []string `json:"secrets"`
	// Variable is a NAME=VALUE of the agent's environment that is no secret; empty for none.
	Variable string `json:"variable,omitempty"`
	// Namespaces are the host's, by type: net → net:[4026531840].
	Namespaces map[string]string `json:"namespaces"`
	// Filters are the seccomp filters that the container inherits: not its own.
	Filters int `json:"filters"`
	// Mark begins every mark of this run.
	Mark string `json:"mark"`
}

// Server is where verify's servers listen on the host.
type Server struct {
	Allowed  string     `json:"allowed"`  // name with a route
	Guarded  string     `json:"guarded"`  // name with a route, which resolves to the pod's own loopback
	Unlisted string     `json:"unlisted"` // name without a route
	Addr     netip.Addr `json:"addr"`     // what Allowed and Unlisted resolve to
	Port     uint16     `json:"port"`     // HTTPS, the route's
	Other    uint16     `json:"other"`    // TCP, not the route's
	DNS      uint16     `json:"dns"`      // UDP
	// GuardedPort is a port on the pod's loopback that answers there.
	GuardedPort uint16 `json:"guarded_port"`
	Loopback    uint16 `json:"loopback"` // TCP on 127.0.0.1 alone
}

// bottle is the task with what probes share.
type bottle struct {
	task  Task
	count atomic.Int64
}

func newBottle(task Task) *bottle { return &bottle{task: task} }

// mark returns a new string that a server of verify's recognises.
func (b *bottle) mark() string {
	return fmt.Sprintf("%s-%s-%d", b.task.Mark, b.task.User, b.count.Add(1))
}

// Main is `podbottle-sidecar probe`: it reads a Task and prints the Results.
//
// With --hold it only waits, as the agent of a bottle that is there to be tried;
// --nested, --detach, --listening, --plant and --reach are parts of probes that need a process of their own.
func Main(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("probe", flag.ContinueOnError)
	hold := flags.Bool("hold", false, "print the text after the flags and wait")
	nested := flags.Bool("nested", false, "try what a new user namespace gives")
	detach := flags.Bool("detach", false, "start a process that outlives this one, and say that it runs")
	listening := flags.Bool("listening", false, "list the ports on which anything listens in this network namespace")
	planting := flags.String("plant", "", "make trees in this new directory of the home, to be copied out, and list them")
	reach := flags.Bool("reach", false, "connect to the targets on standard input and say which answer")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case *hold:
		return holdOn(ctx, flags.Args())
	case *detach:
		return detached(flags.Args())
	case *listening:
		ports, err := listeners()
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(ports)
	case *planting != "":
		trees, err := plant(filepath.Join(os.Getenv("HOME"), *planting), flags.Arg(0))
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(trees)
	case *nested:
		return json.NewEncoder(os.Stdout).Encode(tryNested())
	case *reach:
		var targets []Target
		if err := json.NewDecoder(os.Stdin).Decode(&targets); err != nil {
			return fmt.Errorf("targets: %w", err)
		}
		return json.NewEncoder(os.Stdout).Encode(Reach(ctx, targets))
	}
	var task Task
	if err := json.NewDecoder(os.Stdin).Decode(&task); err != nil {
		return fmt.Errorf("task: %w", err)
	}
	if !task.Egress.IsValid() {
		return errors.New("the task names no egress")
	}
	return json.NewEncoder(os.Stdout).Encode(Run(ctx, task))
}

// holdOn prints what is made to upset a terminal, and waits.
func holdOn(ctx context.Context, text []string) error {
	for _, t := range text {
		fmt.Printf("%s%s\n", Escapes, t)
	}
	if breakage.Has("neighbour") {
		answerMulticast()
	}
	<-ctx.Done()
	return nil
}

// detached starts a process in a session of its own, as one that is to outlive the
// bottle would be, and reports that it is there.
func detached(args []string) error {
	command := exec.Command("/proc/self/exe", append([]string{"probe", "--hold"}, args...)...) // #nosec G204 -- this program
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); err != nil {
		return err
	}
	if err := command.Process.Signal(syscall.Signal(0)); err != nil {
		return err
	}
	_, err := fmt.Println("running")
	return errors.Join(err, command.Process.Release())
}

// Escapes is text that a terminal acts on or that a reader misreads: it sets the
// title, writes to the clipboard (OSC 52), hides a link (OSC 8), clears the
// screen, moves the cursor with a C1 control, and turns the direction of writing.
const Escapes = "\x1b]0;owned\x07\x1b]52;c;b3duZWQ=\x07\x1b]8;;http://evil.test\x07link\x1b]8;;\x07\x1b[2J\u009b2J\u202eevil\u2066\r"
