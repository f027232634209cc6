package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/podbottle/podbottle/internal/bottle"
	"github.com/podbottle/podbottle/internal/secret"
	"github.com/podbottle/podbottle/internal/supervise"
	"github.com/podbottle/podbottle/internal/visible"
)

func newApprovals(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "approvals",
		Short: "Answer what agents ask for, without the terminal interface",
		Args:  cobra.NoArgs,
		RunE:  usage,
	}
	cmd.AddCommand(newApprovalsList(s), newApprovalsShow(s), newApprovalsApprove(s), newApprovalsDeny(s), newApprovalsWatch(s))
	return cmd
}

func newApprovalsList(s Streams) *cobra.Command {
	var all bool
	var format string
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the proposals that wait",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			l, err := newLauncher(s)
			if err != nil {
				return err
			}
			bottles, err := l.Supervised()
			if err != nil {
				return err
			}
			entries, damaged := supervise.Collect(bottles, all)
			for _, problem := range damaged {
				fmt.Fprintln(s.Err, "Warning:", visible.String(problem.Error()))
			}
			if format == "json" {
				return printJSON(s, entries)
			}
			return printTable(s, proposalHeaders(), proposalRows(entries), proposalFormat(format))
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "also those that have their answer")
	addTableFormat(cmd, &format)
	return cmd
}

func newApprovalsShow(s Streams) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:               "show ID",
		Short:             "Show a proposal: what it would change, and why the agent asks",
		Args:              exactArgs(1, "the ID of one proposal, or its first eight characters"),
		ValidArgsFunction: completeProposals,
		RunE: func(_ *cobra.Command, args []string) error {
			b, entry, err := findProposal(s, args[0])
			if err != nil {
				return err
			}
			view := b.View(entry, time.Now(), time.Time{})
			if format == "json" {
				return printJSON(s, view)
			}
			_, err = io.WriteString(s.Out, view.Text())
			return err
		},
	}
	chooseJSON(cmd, &format, "json")
	return cmd
}

// approveFlags are the flags of approvals approve.
type approveFlags struct {
	scope    string
	period   time.Duration
	modified string
	notes    string
	tokenEnv string
	tokenIn  bool
}

func newApprovalsApprove(s Streams) *cobra.Command {
	var f approveFlags
	cmd := &cobra.Command{
		Use:   "approve ID --scope once|bottle|manifest",
		Short: "Let the agent have what it asks for",
		Long: `Let the agent have what it asks for, exactly as approvals show prints it. How far the
approval reaches has to be said:

  once      for a short time: 15 minutes, or --for
  bottle    as long as this bottle runs, or --for
  manifest  that, and written into the bottle's file for its next starts

A proposal with a credential needs its value: --token-env names the variable of
this shell that holds it, --token-stdin reads it from standard input. The
variable that the agent names is never used by itself.`,
		Example: `  podbottle approvals approve 3fa9c21e --scope once
  podbottle approvals approve 3fa9c21e --scope bottle --for 30m
  podbottle approvals approve 3fa9c21e --scope manifest --token-env REGISTRY_TOKEN
  podbottle approvals show 3fa9c21e --format json | jq .ask > ask.json; podbottle approvals approve 3fa9c21e --scope once --modified ask.json`,
		Args:              exactArgs(1, "the ID of one proposal, or its first eight characters"),
		ValidArgsFunction: completeProposals,
		RunE: func(cmd *cobra.Command, args []string) error {
			b, entry, err := findProposal(s, args[0])
			if err != nil {
				return err
			}
			r, err := f.approve(cmd, s, b, entry.Proposal)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(s.Out, r.Granted)
			return err
		},
	}
	choose(cmd, &f.scope, "scope", "", "once, bottle or manifest",
		string(supervise.ScopeOnce), string(supervise.ScopeBottle), string(supervise.ScopeManifest))
	cmd.Flags().DurationVar(&f.period, "for", 0, "how long it holds")
	cmd.Flags().StringVar(&f.modified, "modified", "", "grant what this file says instead (YAML or JSON as the member ask of show --format json, or a Containerfile); - for standard input")
	cmd.Flags().StringVar(&f.notes, "notes", "", "a text for the agent")
	cmd.Flags().StringVar(&f.tokenEnv, "token-env", "", "variable that holds the new credential")
	cmd.Flags().BoolVar(&f.tokenIn, "token-stdin", false, "read the new credential from standard input")
	cmd.MarkFlagsMutuallyExclusive("token-env", "token-stdin")
	return cmd
}

func newApprovalsDeny(s Streams) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:               "deny ID",
		Short:             "Refuse a proposal",
		Example:           `  podbottle approvals deny 3fa9c21e --reason "use the mirror"`,
		Args:              exactArgs(1, "the ID of one proposal, or its first eight characters"),
		ValidArgsFunction: completeProposals,
		RunE: func(cmd *cobra.Command, args []string) error {
			b, entry, err := findProposal(s, args[0])
			if err != nil {
				return err
			}
			if _, err := b.Reject(cmd.Context(), entry.Proposal, reason, supervise.CurrentOperator("approvals deny", os.LookupEnv)); err != nil {
				return err
			}
			_, err = fmt.Fprintln(s.Out, "denied", entry.Proposal.ID)
			return err
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "what the agent is told")
	return cmd
}

// approve grants a proposal as the flags say.
func (f approveFlags) approve(cmd *cobra.Command, s Streams, b supervise.Bottle, p supervise.Proposal) (supervise.Response, error) {
	if f.modified == "-" && f.tokenIn {
		return supervise.Response{}, errors.New("standard input cannot be both the modified proposal and the credential")
	}
	operator := supervise.CurrentOperator("approvals approve", os.LookupEnv)
	if p.Tool == supervise.ToolCapability {
		return f.approveImage(cmd, s, b, p, operator)
	}
	if f.scope == "" {
		return supervise.Response{}, errors.New("say how far the approval reaches: --scope once, --scope bottle or --scope manifest")
	}
	ask, err := f.ask(s, p)
	if err != nil {
		return supervise.Response{}, err
	}
	token, err := f.token(s)
	if err != nil {
		return supervise.Response{}, err
	}
	grant, err := b.Grant(ask, supervise.Scope(f.scope), f.period, f.tokenEnv, time.Now())
	if err != nil {
		return supervise.Response{}, err
	}
	grant.Token, grant.Notes, grant.Modified, grant.By = token, f.notes, f.modified != "", operator
	return b.Approve(cmd.Context(), p, grant)
}

func (f approveFlags) approveImage(cmd *cobra.Command, s Streams, b supervise.Bottle, p supervise.Proposal, operator supervise.Operator) (supervise.Response, error) {
	if f.scope != string(supervise.ScopeBottle) || f.period != 0 || f.tokenEnv != "" || f.tokenIn {
		return supervise.Response{}, errors.New("a new image is for this bottle and has no end and no credential: say --scope bottle")
	}
	current, err := b.CurrentContainerfile()
	if err != nil {
		return supervise.Response{}, err
	}
	file := []byte(p.Capability.Containerfile)
	if f.modified != "" {
		if file, err = f.readModified(s); err != nil {
			return supervise.Response{}, err
		}
	}
	return b.ApproveRebuild(cmd.Context(), p, supervise.RebuildGrant{Current: current, File: file, Notes: f.notes, By: operator})
}

// ask is what is granted: what the proposal asks for, or the file of --modified.
func (f approveFlags) ask(s Streams, p supervise.Proposal) (supervise.Ask, error) {
	if f.modified == "" {
		return p.Ask()
	}
	text, err := f.readModified(s)
	if err != nil {
		return supervise.Ask{}, err
	}
	return supervise.ParseAsk(text)
}

// readModified reads the file of --modified.
func (f approveFlags) readModified(s Streams) ([]byte, error) {
	if f.modified == "-" {
		return io.ReadAll(io.LimitReader(s.In, supervise.MaxProposal))
	}
	file, err := os.Open(f.modified)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, supervise.MaxProposal))
}

// token is the value for a new credential; empty when no flag gives one.
func (f approveFlags) token(s Streams) (secret.Value, error) {
	switch {
	case f.tokenEnv != "":
		value, ok := os.LookupEnv(f.tokenEnv)
		if !ok || value == "" {
			return secret.Value{}, fmt.Errorf("the variable %s is not set here", f.tokenEnv)
		}
		return secret.New(value), nil
	case f.tokenIn:
		text, err := io.ReadAll(io.LimitReader(s.In, supervise.MaxProposal))
		return secret.New(strings.TrimRight(string(text), "\r\n")), err
	}
	return secret.Value{}, nil
}

// findProposal finds a proposal by its ID or the beginning of it.
func findProposal(s Streams, id string) (supervise.Bottle, supervise.Entry, error) {
	l, err := newLauncher(s)
	if err != nil {
		return supervise.Bottle{}, supervise.Entry{}, err
	}
	return findIn(l, id)
}

func findIn(l *bottle.Launcher, id string) (supervise.Bottle, supervise.Entry, error) {
	bottles, err := l.Supervised()
	if err != nil {
		return supervise.Bottle{}, supervise.Entry{}, err
	}
	return supervise.FindProposal(bottles, id)
}
