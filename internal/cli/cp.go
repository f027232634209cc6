package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/podbottle/podbottle/internal/bottle"
)

func newCp(s Streams) *cobra.Command {
	return &cobra.Command{
		Use:   "cp SLUG:PATH DEST | SOURCE SLUG:PATH",
		Short: "Copy files out of a bottle or into one",
		Long: `Copy a file or a directory out of a bottle or into one. A relative PATH starts at
the agent's home. Of a bottle that does not run there is only that home.

As with cp, a copy goes into DEST when that is a directory, and takes the place of
a file. Nothing is merged into a directory that is there. With - the copy is a tar
archive on standard output or input; from there it goes into the directory PATH.

No link is followed. Links that lead out of what is copied, sockets, pipes and
devices are left out and named. Set-user-ID and the like are taken off. Either the
whole copy comes or none of it.`,
		Example: `  podbottle cp fixer-x7k2p:workspace/report.md .
  podbottle cp data.csv fixer-x7k2p:workspace/
  podbottle cp fixer-x7k2p:workspace - | tar -t`,
		Args:              exactArgs(2, "what is copied and where to, one of them as SLUG:PATH"),
		ValidArgsFunction: completeCopy,
		RunE: func(cmd *cobra.Command, args []string) error {
			from, to := bottle.ParseLocation(args[0]), bottle.ParseLocation(args[1])
			if err := bottle.CheckCopy(from, to); err != nil {
				return err
			}
			if to.Path == "-" && isTerminal(s.Out) {
				return errors.New("the archive would go to the terminal; redirect standard output")
			}
			return withLauncher(s, func(ctx context.Context, l *bottle.Launcher, _ []string) error {
				return l.Copy(ctx, from, to)
			})(cmd, args)
		},
	}
}
