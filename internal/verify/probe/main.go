package probe

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/podbottle/podbottle/internal/breakage"
)

// Main is `podbottle-sidecar probe`: it reads a Task and prints the Results.
//
// With --hold it only waits, as the agent of a bottle that is there to be tried;
// --nested, --detach, --listening, --plant, --fork, --balloon and --reach are parts of probes that need a process of their own.
func Main(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("probe", flag.ContinueOnError)
	hold := flags.Bool("hold", false, "print the text after the flags and wait")
	nested := flags.Bool("nested", false, "try what a new user namespace gives")
	detach := flags.Bool("detach", false, "start a process that outlives this one, and say that it runs")
	listening := flags.Bool("listening", false, "list the ports on which anything listens in this network namespace")
	planting := flags.String("plant", "", "make trees in this new directory of the home, to be copied out, and list them")
	forks := flags.Int("fork", 0, "start so many processes, say how far that went, and end them")
	bytes := flags.Int("balloon", 0, "take so many bytes of memory, and say so")
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
	case *forks > 0:
		return json.NewEncoder(os.Stdout).Encode(forkBomb(*forks))
	case *bytes > 0:
		if err := balloon(*bytes); err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(*bytes)
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
