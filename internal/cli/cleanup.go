package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/podbottle/podbottle/internal/bottle"
)

func newCleanup(s Streams) *cobra.Command {
	var r bottle.CleanupRequest
	cmd := &cobra.Command{
		Use:   "cleanup",
		Short: "Remove what dead bottles left",
		Long: `Remove what dead bottles left: pods, containers, networks, volumes, secrets, slices,
runtime directories, images of their own, and state without a .preserve marker.
It lists everything and asks once.`,
		Args: noArgs,
		RunE: withLauncher(s, func(ctx context.Context, l *bottle.Launcher, _ []string) error {
			return l.Cleanup(ctx, r)
		}),
	}
	cmd.Flags().BoolVarP(&r.Yes, "yes", "y", false, "remove without asking")
	cmd.Flags().BoolVarP(&r.All, "all", "a", false, "also bottles that run, and state that is kept")
	cmd.Flags().BoolVar(&r.Images, "images", false, "also images and kept layers that no bottle needs now; they are made again when they are wanted")
	cmd.Flags().BoolVar(&r.DryRun, "dry-run", false, "only list")
	return cmd
}
