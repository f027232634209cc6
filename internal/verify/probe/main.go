package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/podbottle/podbottle/internal/breakage"
)

// part is a piece of a probe that needs a process of its own. What it returns is
// printed as JSON.
type part func(ctx context.Context, args []string) (any, error)

func parts() map[string]part {
	return map[string]part{
		"balloon":   takeMemory,
		"detach":    detach,
		"fork":      fork,
		"hold":      hold,
		"look":      lookAt,
		"listening": func(context.Context, []string) (any, error) { return listeners() },
		"over":      over,
		"nested":    func(context.Context, []string) (any, error) { return tryNested(), nil },
		"plant":     plantTrees,
		"propose":   propose,
		"reach":     reachTargets,
		"send":      send,
	}
}

// Main is `podbottle-sidecar probe`: it reads a Task on standard input and prints the
// Results; with the name of a part and its arguments it does only that.
func Main(ctx context.Context, args []string) error {
	do := part(everything)
	if len(args) > 0 {
		if do = parts()[args[0]]; do == nil {
			return fmt.Errorf("probe has no part %q; it can be one of: %s", args[0], strings.Join(slices.Sorted(maps.Keys(parts())), ", "))
		}
		args = args[1:]
	}
	result, err := do(ctx, args)
	if err != nil || result == nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// everything runs all probes that the task has targets for.
func everything(ctx context.Context, _ []string) (any, error) {
	var task Task
	if err := json.NewDecoder(os.Stdin).Decode(&task); err != nil {
		return nil, fmt.Errorf("task: %w", err)
	}
	if !task.Egress.IsValid() {
		return nil, errors.New("the task names no egress")
	}
	return Run(ctx, task), nil
}

// hold prints TEXT… behind what is made to upset a terminal, and waits, as the agent
// of a bottle that is there to be tried.
func hold(ctx context.Context, text []string) (any, error) {
	for _, t := range text {
		fmt.Printf("%s%s\n", Escapes, t)
	}
	if breakage.Has("neighbour") {
		answerMulticast()
	}
	if breakage.Has("loopback") {
		forwardLoopback()
	}
	<-ctx.Done()
	return nil, nil
}

// detach starts `hold TEXT…` in a session of its own, as a process that is to outlive
// the bottle would be, and tells whether it runs.
func detach(_ context.Context, text []string) (any, error) {
	command := exec.Command("/proc/self/exe", append([]string{"probe", "hold"}, text...)...) // #nosec G204 -- this program
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); err != nil {
		return nil, err
	}
	err := command.Process.Signal(syscall.Signal(0))
	return err == nil, command.Process.Release()
}

// plantTrees makes trees in the new directory DIR of the home, with MARK in them, and
// lists them.
func plantTrees(_ context.Context, args []string) (any, error) {
	if len(args) != 2 {
		return nil, errors.New("wanted: plant DIR MARK")
	}
	return plant(filepath.Join(os.Getenv("HOME"), args[0]), args[1])
}

// reachTargets connects to the targets on standard input.
func reachTargets(ctx context.Context, _ []string) (any, error) {
	var targets []Target
	if err := json.NewDecoder(os.Stdin).Decode(&targets); err != nil {
		return nil, fmt.Errorf("targets: %w", err)
	}
	return Reach(ctx, targets), nil
}

// fork starts up to N processes, and ends them.
func fork(_ context.Context, args []string) (any, error) {
	most, err := number(args)
	if err != nil {
		return nil, err
	}
	return forkBomb(most), nil
}

// takeMemory takes N bytes of memory, and says so.
func takeMemory(_ context.Context, args []string) (any, error) {
	size, err := number(args)
	if err != nil {
		return nil, err
	}
	return size, balloon(size)
}

// number is the only argument of a part.
func number(args []string) (int, error) {
	if len(args) != 1 {
		return 0, errors.New("wanted one number")
	}
	return strconv.Atoi(args[0])
}

// Escapes is text that a terminal acts on or that a reader misreads: it sets the
// title, writes to the clipboard (OSC 52), hides a link (OSC 8), clears the
// screen, moves the cursor with a C1 control, and turns the direction of writing.
const Escapes = "\x1b]0;owned\x07\x1b]52;c;b3duZWQ=\x07\x1b]8;;http://evil.test\x07link\x1b]8;;\x07\x1b[2J\u009b2J\u202eevil\u2066\r"

// nameEscapes is Escapes as a file can be called.
var nameEscapes = strings.ReplaceAll(Escapes, "/", ":")
