package mcpserver

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"github.com/podbottle/podbottle/internal/audit"
	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/footprint"
	"github.com/podbottle/podbottle/internal/ready"
	"github.com/podbottle/podbottle/internal/supervise"
)

// Run is the service supervise of podbottle-sidecar.
func Run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("supervise", flag.ContinueOnError)
	config := Config{Limits: DefaultLimits, Version: "0.1.0", Log: slog.New(slog.NewJSONHandler(os.Stderr, nil))}
	flags.StringVar(&config.Slug, "slug", "", "the bottle's slug")
	listen := flags.String("listen", "", "address and port to answer on")
	flags.Var(&config.OnApproval, "on-approval", "deny, or wait=DURATION")
	queueDir := flags.String("queue", "/var/lib/podbottle", "the queue's directory")
	runDir := flags.String("run", "/run/podbottle/run", "where the file ready is made")
	flags.StringVar(&config.RoutesFile, "routes", filepath.Join(supervise.EgressConfigDir, egress.RoutesFile), "egress's route table")
	flags.StringVar(&config.Containerfile, "containerfile", "/etc/podbottle/"+supervise.ContainerfileName, "the current Containerfile")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 || config.Slug == "" {
		return errors.New("give --slug and --listen, and no arguments")
	}
	if err := ready.Clear(*runDir, ready.Service); err != nil {
		return err
	}
	queue, err := supervise.OpenQueue(*queueDir)
	if err != nil {
		return err
	}
	defer queue.Close()
	if config.Audit, err = audit.Open(filepath.Join(*queueDir, supervise.AuditFile)); err != nil {
		return err
	}
	defer config.Audit.Close()
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if err := ready.Mark(*runDir, ready.Service); err != nil {
		return err
	}
	config.Log.Info("listening", "slug", config.Slug, "address", listener.Addr().String(), "on_approval", config.OnApproval.String())
	go footprint.Release()
	return New(config, queue).Serve(ctx, listener)
}
