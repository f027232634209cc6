// Command podbottle-sidecar is the program in every container of a bottle that
// is not the agent's own: podbottle-sidecar egress | git-gate | supervise |
// firewall | handover | copy | probe. It links no Podman code.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sort"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/podbottle/podbottle/internal/archive"
	"github.com/podbottle/podbottle/internal/breakage"
	"github.com/podbottle/podbottle/internal/egress/proxy"
	"github.com/podbottle/podbottle/internal/exitstatus"
	"github.com/podbottle/podbottle/internal/gitgate/gate"
	"github.com/podbottle/podbottle/internal/handover"
	"github.com/podbottle/podbottle/internal/pipelock/firewall"
	"github.com/podbottle/podbottle/internal/supervise/mcpserver"
	"github.com/podbottle/podbottle/internal/verify/probe"
)

// version is set by the linker.
var version = "devel"

// service runs until its context ends. Its arguments exclude the service's name.
type service func(ctx context.Context, args []string) error

func services() map[string]service {
	all := map[string]service{
		"copy":      archive.Main,
		"egress":    proxy.Run,
		"firewall":  firewall.Run,
		"handover":  handover.Main,
		"probe":     probe.Main,
		"supervise": mcpserver.Run,
		"version": func(context.Context, []string) error {
			_, err := fmt.Println("podbottle-sidecar", version)
			return err
		},
	}
	for name, run := range gate.Commands() {
		all[name] = run
	}
	return all
}

// leavesDumps are the programs that run in the agent's container, on its behalf.
var leavesDumps = map[string]bool{"copy": true, "handover": true, "probe": true, "version": true}

// keepMemory keeps the memory of a sidecar, in which tokens and keys lie, out of core
// dumps and from the other processes of its container (PR_SET_DUMPABLE, prctl(2)).
func keepMemory() error {
	if breakage.Has("dumps") {
		return nil
	}
	return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	all := services()
	// Git and ssh run this program under the name of what they want of it.
	args := os.Args
	if all[filepath.Base(args[0])] == nil {
		args = args[1:]
	}
	if len(args) == 0 || all[filepath.Base(args[0])] == nil {
		names := make([]string, 0, len(all))
		for name := range all {
			names = append(names, name)
		}
		sort.Strings(names)
		fmt.Fprintln(os.Stderr, "usage: podbottle-sidecar", strings.Join(names, " | "))
		os.Exit(2)
	}
	name := filepath.Base(args[0])
	if !leavesDumps[name] {
		if err := keepMemory(); err != nil {
			fmt.Fprintf(os.Stderr, "podbottle-sidecar %s: %v\n", name, err)
			os.Exit(1)
		}
	}
	if err := all[name](ctx, args[1:]); err != nil {
		code, silent := 1, errors.Is(err, gate.ErrRefused)
		if exit := (*exitstatus.Error)(nil); errors.As(err, &exit) {
			code, silent = exit.Code, exit.Err == nil
		}
		if !silent {
			fmt.Fprintf(os.Stderr, "podbottle-sidecar %s: %v\n", name, err)
		}
		os.Exit(code)
	}
}
