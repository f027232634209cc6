package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/podbottle/podbottle/internal/bottle"
)

func newRestart(s Streams) *cobra.Command {
	return &cobra.Command{
		Use:   "restart SLUG",
		Short: "Restart the sidecars of a bottle that died",
		Long: `Restart the sidecars of a bottle that died; podbottle list calls such a bottle
degraded. The agent goes on meanwhile, without what they give it.`,
		Args:              exactArgs(1, "the slug of one bottle; podbottle list shows those there are"),
		ValidArgsFunction: completeSlug,
		RunE: withLauncher(s, func(ctx context.Context, l *bottle.Launcher, args []string) error {
			return l.Restart(ctx, args[0])
		}),
	}
}
