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
	"github.com/podbottle/podbottle/internal/bottle"
	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/gitgate"
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
reason, status, bytes and time; between that what git-gate fetched, pushed and
refused; and what its agent asked for and who answered. One line each, oldest first,
in UTC. They are kept as long as the bottle's state.`,
		Example: `  podbottle audit fixer-x7k2p --denied
  podbottle audit fixer-x7k2p --follow
  podbottle audit verify fixer-x7k2p`,
		Args:              exactArgs(1, "the slug of one bottle; podbottle list --all shows those there are"),
		ValidArgsFunction: completeStates,
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := auditFiles(args[0])
			if err != nil {
				return err
			}
			if f.follow {
				return f.followAll(cmd.Context(), streams.Out, streams.Err, files)
			}
			return f.showAll(streams.Out, files)
		},
	}
	cmd.Flags().BoolVar(&f.denied, "denied", false, "only what was refused")
	cmd.Flags().BoolVarP(&f.follow, "follow", "f", false, "go on with what comes")
	chooseJSON(cmd, &f.format, "json: the lines of the files, with what a terminal could act upon escaped")
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
		text, err := f.text(file, line.Line)
		if err != nil {
			broken = errors.Join(broken, err)
			continue
		}
		if _, err := io.WriteString(out, text); err != nil {
			return err
		}
	}
	return broken
}

// followAll prints the lines of each file, and then what comes, until ctx ends. A file
// that is wrong is told on problems at once, and does not end the others.
func (f auditFlags) followAll(ctx context.Context, out, problems io.Writer, files []auditFile) error {
	var mu sync.Mutex
	broken := make([]error, len(files))
	group, ctx := errgroup.WithContext(ctx)
	for i, file := range files {
		group.Go(func() error {
			var failed error // to print
			err := audit.Follow(ctx, file.path, func(line []byte) error {
				text, err := f.text(file, line)
				if err != nil {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				_, failed = io.WriteString(out, text)
				return failed
			})
			if failed == nil && err != nil {
				mu.Lock()
				defer mu.Unlock()
				fmt.Fprintf(problems, "Warning: %s is followed no more: %s\n", file.path, visible.String(err.Error()))
				broken[i] = err
			}
			return failed
		})
	}
	return errors.Join(group.Wait(), errors.Join(broken...))
}

// text is what to print of one line of a file; empty when the flags leave it out.
func (f auditFlags) text(file auditFile, line []byte) (string, error) {
	record, err := file.parse(line)
	if err != nil {
		return "", fmt.Errorf("%s: a record of another form: %w", file.path, err)
	}
	if f.denied && !record.Denied() {
		return "", nil
	}
	text := record.String()
	if f.format == "json" {
		if text, err = visible.JSON(line); err != nil {
			return "", fmt.Errorf("%s: a record of another form: %w", file.path, err)
		}
	}
	return text + "\n", nil
}

func newAuditVerify(streams Streams) *cobra.Command {
	return &cobra.Command{
		Use:   "verify SLUG",
		Short: "Check that no line of a bottle's audit files was changed",
		Long: `Check the chains of hashes through a bottle's audit files and say where one breaks.
Lines cut off at the end leave a valid chain; compare the number of lines with the
last "seq" of the sidecar's log (podbottle logs SLUG --service egress) for that.`,
		Args:              exactArgs(1, "the slug of one bottle; podbottle list --all shows those there are"),
		ValidArgsFunction: completeStates,
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

// auditFiles are those of a bottle: what egress decided; where there is git-gate, what
// that did; and where there is supervise, what was proposed and what operators decided.
// Of the latter there may be nothing yet.
func auditFiles(name string) ([]auditFile, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, err
	}
	root, err := state.Root(os.LookupEnv, home)
	if err != nil {
		return nil, err
	}
	slug, err := bottle.FindState(root, name)
	if err != nil {
		return nil, err
	}
	tree, err := state.Of(root, slug)
	if err != nil {
		return nil, err
	}
	way := auditFile{"egress", filepath.Join(tree.Data("egress"), egress.AuditFile), parseRecord[egress.Record]}
	if _, err := os.Lstat(way.path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("bottle %s has no audit file %s; egress never ran", slug, way.path)
	}
	files := []auditFile{way}
	for _, file := range []auditFile{
		{"git-gate", filepath.Join(tree.Data("git-gate"), gitgate.AuditFile), parseRecord[gitgate.Record]},
		{"proposals", filepath.Join(tree.Queue(), supervise.AuditFile), parseRecord[supervise.Record]},
		{"operators", filepath.Join(tree.Supervise(), supervise.AuditFile), parseRecord[supervise.Record]},
	} {
		if _, err := os.Lstat(filepath.Dir(file.path)); err == nil {
			files = append(files, file)
		}
	}
	return files, nil
}
