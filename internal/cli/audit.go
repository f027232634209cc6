package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/podbottle/podbottle/internal/audit"
	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/state"
	"github.com/podbottle/podbottle/internal/visible"
)

type auditFlags struct {
	denied bool
	follow bool
	format string
}

func newAudit(streams Streams) *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use:   "audit SLUG",
		Short: "Show what a bottle's egress let out and refused",
		Long: `Show the decisions of a bottle's egress, one a line, oldest first: when, verdict,
method, host, path, reason, status, bytes and time. They are in the bottle's state
directory as long as that is kept.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			show, err := f.printer(streams.Out)
			if err != nil {
				return err
			}
			path, err := auditFile(args[0])
			if err != nil {
				return err
			}
			if f.follow {
				return audit.Follow(cmd.Context(), path, show)
			}
			file, err := os.Open(path)
			if err != nil {
				return err
			}
			defer file.Close()
			for line, err := range audit.Lines(file) {
				if err != nil {
					return fmt.Errorf("%s: %w", path, err)
				}
				if err := show(line); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&f.denied, "denied", false, "only what was refused")
	cmd.Flags().BoolVarP(&f.follow, "follow", "f", false, "go on with what comes")
	cmd.Flags().StringVar(&f.format, "format", "", `"json" for the lines of the file, with what a terminal could act upon escaped`)
	cmd.AddCommand(newAuditVerify(streams))
	return cmd
}

// printer prints one line of the file as the flags ask.
func (f auditFlags) printer(out io.Writer) (func(line []byte) error, error) {
	if f.format != "" && f.format != "json" {
		return nil, fmt.Errorf("format %q is not known; use json, or leave --format out", f.format)
	}
	return func(line []byte) error {
		var record egress.Record
		if err := json.Unmarshal(line, &record); err != nil {
			return fmt.Errorf("audit record: %w", err)
		}
		if f.denied && record.Verdict != egress.VerdictDeny {
			return nil
		}
		text := record.String()
		if f.format == "json" {
			var err error
			if text, err = visible.JSON(line); err != nil {
				return fmt.Errorf("audit record: %w", err)
			}
		}
		_, err := fmt.Fprintln(out, text)
		return err
	}, nil
}

func newAuditVerify(streams Streams) *cobra.Command {
	return &cobra.Command{
		Use:   "verify SLUG",
		Short: "Check that no line of a bottle's audit file was changed",
		Long: `Check the chain of hashes through a bottle's audit file and say where it breaks.
Lines cut off at the end leave a valid chain; compare the number of lines with the
last "seq" of the sidecar's log (podbottle logs SLUG --service egress) for that.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			path, err := auditFile(args[0])
			if err != nil {
				return err
			}
			file, err := os.Open(path)
			if err != nil {
				return err
			}
			defer file.Close()
			n, err := audit.Verify(file)
			if err != nil {
				return fmt.Errorf("%s: the chain holds for %d lines and then breaks: %w", path, n, err)
			}
			_, err = fmt.Fprintf(streams.Out, "%d lines, unbroken\n", n)
			return err
		},
	}
}

// auditFile is where the egress sidecar of a bottle keeps its records.
func auditFile(slug string) (string, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	root, err := state.Root(os.LookupEnv, home)
	if err != nil {
		return "", err
	}
	tree, err := state.Of(root, slug)
	if err != nil {
		return "", err
	}
	path := filepath.Join(tree.Data("egress"), egress.AuditFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("bottle %s has no audit file %s; its state was removed, or egress never ran", slug, path)
	}
	return path, nil
}
