// Package handover is the last thing that runs in an agent's container before
// the agent does: it proves that the container has no way out but egress, puts
// the provider's files into the agent's home, loads the secret variables from
// their file, and replaces itself with the agent's program. Where a proof fails
// the agent does not start. Later it runs commands beside the agent.
package handover

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/podbottle/podbottle/internal/exitstatus"
)

// Options are the flags of `podbottle-sidecar handover`.
type Options struct {
	Egress string // host:port of the proxy
	Home   string // the agent's home
	Dir    string // the mounted directory with env and home/
	Exec   bool   // only load the environment: a later command beside the agent
	// Filtered wants podbottle's seccomp filter to be in force. It is not under runsc,
	// where another kernel answers.
	Filtered bool
	Argv     []string
}

// Main parses the arguments and hands the container over. It returns only on error; the
// end of a command that it ran beside the agent is an exitstatus.Error.
func Main(ctx context.Context, args []string) error {
	var o Options
	flags := flag.NewFlagSet("handover", flag.ContinueOnError)
	flags.StringVar(&o.Egress, "egress", "", "address of the egress proxy")
	flags.StringVar(&o.Home, "home", "/home/node", "the agent's home directory")
	flags.StringVar(&o.Dir, "dir", "/run/podbottle", "directory with the files to hand over")
	flags.BoolVar(&o.Filtered, "filtered", false, "prove that podbottle's filter of system calls is in force")
	flags.BoolVar(&o.Exec, "exec", false, "run a command beside the agent, with its environment")
	if err := flags.Parse(args); err != nil {
		return err
	}
	o.Argv = flags.Args()
	if len(o.Argv) == 0 {
		return errors.New("no command to run")
	}
	return run(ctx, o)
}

func run(ctx context.Context, o Options) error {
	if !o.Exec {
		if err := prove(ctx, o); err != nil {
			return fmt.Errorf("the container is not sealed, so the agent is not started: %w", err)
		}
		for tree, put := range map[string]putFile{"home": replaceFile, "home-read-only": replaceReadOnly, "home-once": keepFile, "home-merge": mergeFile} {
			if err := copyHome(filepath.Join(o.Dir, tree), o.Home, put); err != nil {
				return fmt.Errorf("agent's home %s: %w", o.Home, err)
			}
		}
	}
	env, err := loadEnv(filepath.Join(o.Dir, "env"), os.Environ())
	if err != nil {
		return err
	}
	program, err := exec.LookPath(o.Argv[0])
	if err != nil {
		return notRun(o.Argv[0], err)
	}
	if !o.Exec {
		if err := announce(ctx, o.Egress); err != nil {
			return fmt.Errorf("egress at %s: %w", o.Egress, err)
		}
	}
	if o.Exec && !isTerminal(os.Stdin) {
		code, err := runBeside(ctx, program, o.Argv, env, os.Stdin)
		if err != nil || code == 0 {
			return err
		}
		return &exitstatus.Error{Code: code}
	}
	return notRun(o.Argv[0], syscall.Exec(program, o.Argv, env)) // #nosec G204 -- this is what the program is for
}

// isTerminal reports whether a file is one.
func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// loadEnv adds the variables of a NUL separated file to env, replacing those of
// the same name.
func loadEnv(path string, env []string) ([]string, error) {
	text, err := os.ReadFile(path) // #nosec G304 -- our own mount
	if errors.Is(err, fs.ErrNotExist) {
		return env, nil
	}
	if err != nil {
		return nil, err
	}
	return mergeEnv(env, strings.Split(string(text), "\x00")), nil
}

// mergeEnv returns base with the entries of extra in place of those of the same name.
func mergeEnv(base, extra []string) []string {
	index := map[string]int{}
	merged := make([]string, 0, len(base)+len(extra))
	for _, entry := range append(append([]string{}, base...), extra...) {
		name, _, ok := strings.Cut(entry, "=")
		if !ok {
			continue
		}
		if i, seen := index[name]; seen {
			merged[i] = entry
			continue
		}
		index[name] = len(merged)
		merged = append(merged, entry)
	}
	return merged
}
