// Command podbottle-sidecar is the program in every container of a bottle that
// is not the agent's own: podbottle-sidecar egress | git-gate | supervise |
// firewall | handover. It links no Podman code.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sort"
	"strings"
	"syscall"

	"github.com/podbottle/podbottle/internal/egress/proxy"
	"github.com/podbottle/podbottle/internal/handover"
	"github.com/podbottle/podbottle/internal/pipelock/firewall"
	"github.com/podbottle/podbottle/internal/supervise/mcpserver"
)

// version is set by the linker.
var version = "devel"

// service runs until its context ends. Its arguments exclude the service's name.
type service func(ctx context.Context, args []string) error

func services() map[string]service {
	return map[string]service{
		"egress":    proxy.Run,
		"firewall":  firewall.Run,
		"handover":  handover.Main,
		"supervise": mcpserver.Run,
		"version": func(context.Context, []string) error {
			_, err := fmt.Println("podbottle-sidecar", version)
			return err
		},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	all := services()
	if len(os.Args) < 2 || all[os.Args[1]] == nil {
		names := make([]string, 0, len(all))
		for name := range all {
			names = append(names, name)
		}
		sort.Strings(names)
		fmt.Fprintln(os.Stderr, "usage: podbottle-sidecar", strings.Join(names, " | "))
		os.Exit(2)
	}
	if err := all[os.Args[1]](ctx, os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "podbottle-sidecar %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}
