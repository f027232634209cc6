package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/podbottle/podbottle/internal/bottle"
)

func newBuild(s Streams) *cobra.Command {
	var base string
	cmd := &cobra.Command{
		Use:   "build [PROVIDER...]",
		Short: "Build podbottle's images",
		Long:  "Build the sidecars' image and those of the providers (claude, codex). start builds what is missing by itself.",
		RunE: withLauncher(s, func(ctx context.Context, l *bottle.Launcher, args []string) error {
			return l.Build(ctx, args, base)
		}),
	}
	cmd.Flags().StringVar(&base, "base", "", "base image instead of the default (config.yaml: images.agent_base)")
	return cmd
}
