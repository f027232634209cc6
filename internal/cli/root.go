// Package cli is podbottle's command line: one file a verb, which parses flags
// and calls one function of the packages below.
package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/podbottle/podbottle/internal/bottle"
	"github.com/podbottle/podbottle/internal/exitstatus"
	"github.com/podbottle/podbottle/internal/visible"
)

// Main runs the command line and returns the process's exit status.
func Main(version string) int {
	ctx, stop := signalContext()
	defer stop()
	// A pipe that nobody reads any more must not end podbottle before it has taken
	// the bottle down: writing to it fails instead.
	signal.Ignore(syscall.SIGPIPE)
	streams := Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Done: ctx.Done()}
	root := newRoot(streams, version)
	err := root.ExecuteContext(ctx)
	if signal := (bottle.SignalError{}); errors.Is(err, errInterrupted) && errors.As(context.Cause(ctx), &signal) {
		err = &exitstatus.Error{Code: exitSignal + int(signal.Signal), Err: signal}
	}
	code, message := exitCode(err)
	if message != "" {
		fmt.Fprintln(streams.Err, "Error:", strings.Join(visible.Lines(message), "\n"))
	}
	return code
}

// sameSignal is how long after a signal another one is no second: timeout(1) sends its
// signal to the program and to its process group, and a terminal that closes hangs up
// after the shell did.
const sameSignal = 300 * time.Millisecond

// signalContext ends on SIGINT, SIGTERM or SIGHUP, with the signal as its cause.
// A second signal ends the process at once.
func signalContext() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		s := <-signals
		cancel(bottle.SignalError{Signal: s.(syscall.Signal)})
		time.Sleep(sameSignal)
		signal.Stop(signals)
	}()
	return ctx, func() { cancel(nil) }
}

// usage is what a command does that only has subcommands: nothing was done, so what it
// says is no output.
func usage(cmd *cobra.Command, _ []string) error {
	cmd.SetOut(cmd.ErrOrStderr())
	return errors.Join(cmd.Usage(), &exitstatus.Error{Code: exitUsage})
}

func newRoot(streams Streams, version string) *cobra.Command {
	root := &cobra.Command{
		Use:           "podbottle",
		Short:         "Run a coding agent in a rootless Podman pod it cannot get out of",
		Version:       versionText(version),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          usage,
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w\nSee '%s --help'", err, cmd.CommandPath())
	})
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.Err)
	root.AddCommand(
		newApprovals(streams),
		newAudit(streams),
		newStart(streams),
		newResume(streams),
		newAttach(streams),
		newExec(streams),
		newList(streams),
		newLogs(streams),
		newStop(streams),
		newRestart(streams),
		newSupervise(streams),
		newBuild(streams),
		newCleanup(streams),
		newCp(streams),
		newDoctor(streams),
		newQuadlet(streams),
		newInfo(streams),
		newInit(streams),
		newEdit(streams),
		newGit(streams),
		newVerify(streams),
		newVersion(streams, version),
	)
	return root
}
