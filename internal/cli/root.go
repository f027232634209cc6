// Package cli is podbottle's command line: one file a verb, which parses flags
// and calls one function of the packages below.
package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Main runs the command line and returns the process's exit status.
func Main(version string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	streams := Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}
	root := newRoot(streams, version)
	code, message := exitCode(root.ExecuteContext(ctx))
	if message != "" {
		fmt.Fprintln(streams.Err, "Error:", message)
	}
	return code
}

func newRoot(streams Streams, version string) *cobra.Command {
	root := &cobra.Command{
		Use:           "podbottle",
		Short:         "Run a coding agent in a rootless Podman pod it cannot get out of",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
	}
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.Err)
	root.AddCommand(
		newAudit(streams),
		newVersion(streams, version),
	)
	return root
}
