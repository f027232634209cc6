package cli

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

func newVersion(streams Streams, version string) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print podbottle's version",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(streams.Out, versionText(version))
			return err
		},
	}
}

func versionText(version string) string {
	return fmt.Sprintf("podbottle %s %s/%s %s", version, runtime.GOOS, runtime.GOARCH, runtime.Version())
}
