// Package handover is the last thing that runs in an agent's container before
// the agent does: it proves that the container has no way out but egress, puts
// the provider's files into the agent's home, loads the secret variables from
// their file, and replaces itself with the agent's program. Where a proof fails
// the agent does not start.
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
)

// Options are the flags of `podbottle-sidecar handover`.
type Options struct {
	Egress string // host:port of the proxy
	Home   string // the agent's home
	Dir    string // the mounted directory with env and home/
	Exec   bool   // only load the environment: a later command beside the agent
	Argv   []string
}

// Main parses the arguments and hands the container over. It returns only on error.
func Main(ctx context.Context, args []string) error {
	var o Options
	flags := flag.NewFlagSet("handover", flag.ContinueOnError)
	flags.StringVar(&o.Egress, "egress", "", "address of the egress proxy")
	flags.StringVar(&o.Home, "home", "/home/node", "the agent's home directory")
	flags.StringVar(&o.Dir, "dir", "/run/podbottle", "directory with the files to hand over")
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
		if err := prove(ctx, o.Egress); err != nil {
			return fmt.Errorf("the container is not sealed, so the agent is not started: %w", err)
		}
		for tree, replace := range map[string]bool{"home": true, "home-once": false} {
			if err := copyHome(filepath.Join(o.Dir, tree), o.Home, replace); err != nil {
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
		return fmt.Errorf("the image has no program %s: %w", o.Argv[0], err)
	}
	if !o.Exec {
		if err := announce(ctx, o.Egress); err != nil {
			return fmt.Errorf("egress at %s: %w", o.Egress, err)
		}
	}
	return syscall.Exec(program, o.Argv, env) // #nosec G204 -- this is what the program is for
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

// copyHome copies the tree src into home; without replace it keeps the files that
// are there. It opens nothing through a symbolic
// link that leads out of home: on a resumed bottle the agent has been there before.
func copyHome(src, home string, replace bool) error {
	root, err := os.OpenRoot(home)
	if err != nil {
		return err
	}
	defer root.Close()
	return filepath.WalkDir(src, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == src {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(src, path)
		if err != nil || name == "." {
			return err
		}
		if d.IsDir() {
			if err := root.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
			return nil
		}
		if _, err := root.Lstat(name); err == nil && !replace {
			return nil
		}
		return copyFile(root, name, path)
	})
}

func copyFile(root *os.Root, name, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(path) // #nosec G304 -- below our own mount
	if err != nil {
		return err
	}
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	mode := fs.FileMode(0o600)
	if info.Mode().Perm()&0o100 != 0 {
		mode = 0o700
	}
	return root.WriteFile(name, content, mode)
}
