package cli

import "github.com/spf13/cobra"

func newBuild(s Streams) *cobra.Command {
	var base string
	cmd := &cobra.Command{
		Use:   "build [PROVIDER...]",
		Short: "Build podbottle's images",
		Long:  "Build the sidecars' image and those of the providers (claude, codex). start builds what is missing by itself.",
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := newLauncher(s)
			if err != nil {
				return err
			}
			return l.Build(cmd.Context(), args, base)
		},
	}
	cmd.Flags().StringVar(&base, "base", "", "base image instead of the default (config.yaml: images.agent_base)")
	return cmd
}
