package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/podbottle/podbottle/internal/audit"
	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/state"
	"github.com/podbottle/podbottle/internal/supervise"
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
		Short: "Show what a bottle let out and refused, and who allowed it",
		Long: `Show what a bottle's egress let out and refused: when, verdict, method, host, path,
reason, status, bytes and time; and between that what its agent asked for and who
answered. One line each, oldest first. They are kept as long as the bottle's state.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.format != "" && f.format != "json" {
				return fmt.Errorf("format %q is not known; use json, or leave --format out", f.format)
			}
			files, err := auditFiles(args[0])
			if err != nil {
				return err
			}
			if f.follow {
				return f.followAll(cmd.Context(), streams.Out, files)
			}
			return f.showAll(streams.Out, files)
		},
	}
	cmd.Flags().BoolVar(&f.denied, "denied", false, "only what was refused")
	cmd.Flags().BoolVarP(&f.follow, "follow", "f", false, "go on with what comes")
	cmd.Flags().StringVar(&f.format, "format", "", `"json" for the lines of the files, with what a terminal could act upon escaped`)
	cmd.AddCommand(newAuditVerify(streams))
	return cmd
}

// showAll prints the lines of all files in the order of time.
func (f auditFlags) showAll(out io.Writer, files []auditFile) error {
	var begun []auditFile
	var readers []io.Reader
	for _, file := range files {
		r, err := audit.OpenFile(file.path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // nothing has been decided there yet
		}
		if err != nil {
			return err
		}
		defer r.Close()
		begun, readers = append(begun, file), append(readers, r)
	}
	var broken error
	for line := range audit.Merge(readers...) {
		file := begun[line.File]
		if line.Err != nil {
			broken = errors.Join(broken, fmt.Errorf("%s: %w", file.path, line.Err))
			continue
		}
		if err := f.show(out, file, line.Line); err != nil {
			return err
		}
	}
	return broken
}

// followAll prints the lines of each file, and then what comes, until ctx ends.
func (f auditFlags) followAll(ctx context.Context, out io.Writer, files []auditFile) error {
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	for _, file := range files {
		group.Go(func() error {
			return audit.Follow(ctx, file.path, func(line []byte) error {
				mu.Lock()
				defer mu.Unlock()
				return f.show(out, file, line)
			})
		})
	}
	return group.Wait()
}

// show prints one line of a file as the flags ask.
func (f auditFlags) show(out io.Writer, file auditFile, line []byte) error {
	record, err := file.parse(line)
	if err != nil {
		return fmt.Errorf("audit record: %w", err)
	}
	if f.denied && !record.Denied() {
		return nil
	}
	text := record.String()
	if f.format == "json" {
		if text, err = visible.JSON(line); err != nil {
			return fmt.Errorf("audit record: %w", err)
		}
	}
	_, err = fmt.Fprintln(out, text)
	return err
}

func newAuditVerify(streams Streams) *cobra.Command {
	return &cobra.Command{
		Use:   "verify SLUG",
		Short: "Check that no line of a bottle's audit files was changed",
		Long: `Check the chains of hashes through a bottle's audit files and say where one breaks.
Lines cut off at the end leave a valid chain; compare the number of lines with the
last "seq" of the sidecar's log (podbottle logs SLUG --service egress) for that.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			files, err := auditFiles(args[0])
			if err != nil {
				return err
			}
			var broken error
			for _, file := range files {
				r, err := audit.OpenFile(file.path)
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if err != nil {
					return err
				}
				n, err := audit.Verify(r)
				_ = r.Close()
				if err != nil {
					broken = errors.Join(broken, fmt.Errorf("%s: the chain holds for %d lines and then breaks: %w", file.path, n, err))
					continue
				}
				if _, err := fmt.Fprintf(streams.Out, "%s: %d lines, unbroken\n", file.of, n); err != nil {
					return err
				}
			}
			return broken
		},
	}
}

// auditFile is one of a bottle's audit files.
type auditFile struct {
	of    string // whose decisions it holds
	path  string
	parse func(line []byte) (auditRecord, error)
}

// auditRecord is a line of any of them.
type auditRecord interface {
	fmt.Stringer
	Denied() bool
}

func parseRecord[R auditRecord](line []byte) (auditRecord, error) {
	var record R
	err := json.Unmarshal(line, &record)
	return record, err
}

// auditFiles are those of a bottle: what egress decided, and where there is supervise,
// what was proposed and what operators decided, of which there may be nothing yet.
func auditFiles(slug string) ([]auditFile, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, err
	}
	root, err := state.Root(os.LookupEnv, home)
	if err != nil {
		return nil, err
	}
	tree, err := state.Of(root, slug)
	if err != nil {
		return nil, err
	}
	way := auditFile{"egress", filepath.Join(tree.Data("egress"), egress.AuditFile), parseRecord[egress.Record]}
	if _, err := os.Lstat(way.path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("bottle %s has no audit file %s; its state was removed, or egress never ran", slug, way.path)
	}
	files := []auditFile{way}
	for _, file := range []auditFile{
		{"proposals", filepath.Join(tree.Queue(), supervise.AuditFile), parseRecord[supervise.Record]},
		{"operators", filepath.Join(tree.Supervise(), supervise.AuditFile), parseRecord[supervise.Record]},
	} {
		if _, err := os.Lstat(filepath.Dir(file.path)); err == nil {
			files = append(files, file)
		}
	}
	return files, nil
}
