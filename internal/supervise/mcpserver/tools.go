package mcpserver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/podbottle/podbottle/internal/supervise"
)

// instructions tell the agent's model when to use the tools.
const instructions = `You are in a bottle: a container without a route to the internet. HTTP requests go through a proxy that lets declared hosts through and refuses all others with 403.
Use egress-block when a request was refused because its host, path or method is not allowed; ask for as little as the task needs. Use pipelock-block when the refusal came from the firewall. Use capability-block when the image lacks a program.
A human reads each request and may take long. When a call ends without an answer, ask proposal-status with the ID instead of asking again.`

// The arguments of the tools. Their schemas are closed: an unknown member is an error.
type (
	egressArgs struct {
		Host          string    `json:"host" jsonschema:"full host name, such as api.example.org; no wildcard, port or address"`
		PathAllowlist []string  `json:"path_allowlist,omitempty" jsonschema:"absolute path prefixes that are needed, such as /v1/; every path when left out"`
		Methods       []string  `json:"methods,omitempty" jsonschema:"HTTP methods that are needed; every method when left out"`
		Auth          *authArgs `json:"auth,omitempty" jsonschema:"a credential that the proxy shall add; its value is never shown to you"`
		Justification string    `json:"justification" jsonschema:"what it is needed for, in one or two sentences for the human who decides"`
	}
	authArgs struct {
		Scheme   string `json:"scheme" jsonschema:"Bearer, token, basic or header"`
		TokenRef string `json:"token_ref" jsonschema:"name of the variable on the host that holds the credential"`
		Header   string `json:"header,omitempty" jsonschema:"name of the header, with the scheme header only"`
	}
	pipelockArgs struct {
		FailedURL     string `json:"failed_url" jsonschema:"the absolute http or https URL that was refused"`
		Justification string `json:"justification" jsonschema:"what it is needed for, in one or two sentences for the human who decides"`
	}
	capabilityArgs struct {
		Containerfile string `json:"containerfile" jsonschema:"the whole proposed Containerfile, not a part of it; yours now is in your home as .bot-bottle-containerfile"`
		Justification string `json:"justification" jsonschema:"what it is needed for, in one or two sentences for the human who decides"`
	}
	noArgs     struct{}
	statusArgs struct {
		ID string `json:"id,omitempty" jsonschema:"the proposal's ID; all recent proposals when left out"`
	}
)

// answer is what the proposing tools return.
type answer struct {
	ID        string           `json:"id" jsonschema:"the proposal's ID"`
	Status    supervise.Status `json:"status" jsonschema:"pending, approved, modified, rejected or expired"`
	Tool      supervise.Tool   `json:"tool,omitempty"`
	Notes     string           `json:"notes,omitempty" jsonschema:"what the human says"`
	Granted   string           `json:"granted,omitempty" jsonschema:"what is permitted now"`
	Scope     supervise.Scope  `json:"scope,omitempty"`
	ExpiresAt *time.Time       `json:"expires_at,omitempty" jsonschema:"when the permission ends"`
}

// statuses is what proposal-status returns.
type statuses struct {
	Proposals []answer `json:"proposals"`
}

// toAnswer shows the agent how a proposal stands.
func toAnswer(entry supervise.Entry) answer {
	a := answer{ID: entry.Proposal.ID, Tool: entry.Proposal.Tool, Status: supervise.StatusPending}
	if r := entry.Response; r != nil {
		a.Status, a.Notes, a.Granted, a.Scope = r.Status, r.Notes, r.Granted, r.Scope
		if !r.ExpiresAt.IsZero() {
			a.ExpiresAt = &r.ExpiresAt
		}
	}
	return a
}

// addTools registers the tools; ctx ends when the server stops.
func (s *Server) addTools(ctx context.Context, server *mcp.Server) {
	mcp.AddTool(server, &mcp.Tool{
		Name:        string(supervise.ToolEgress),
		Description: "Ask a human to let HTTP requests to one host through. Waits for the answer.",
	}, func(call context.Context, request *mcp.CallToolRequest, in egressArgs) (*mcp.CallToolResult, answer, error) {
		p := s.proposal(supervise.ToolEgress, in.Justification)
		p.Egress = &supervise.EgressRequest{
			Host:          strings.TrimSuffix(strings.ToLower(strings.TrimSpace(in.Host)), "."),
			PathAllowlist: unique(in.PathAllowlist),
			Methods:       unique(upper(in.Methods)),
		}
		if in.Auth != nil {
			auth := supervise.AuthRequest(*in.Auth)
			p.Egress.Auth = &auth
		}
		p.Base = fileHash(s.config.RoutesFile)
		return s.propose(ctx, call, request, p)
	})
	mcp.AddTool(server, &mcp.Tool{
		Name:        string(supervise.ToolPipelock),
		Description: "Ask a human to open the host of a URL that the firewall refused. Waits for the answer.",
	}, func(call context.Context, request *mcp.CallToolRequest, in pipelockArgs) (*mcp.CallToolResult, answer, error) {
		p := s.proposal(supervise.ToolPipelock, in.Justification)
		p.Pipelock = &supervise.PipelockRequest{FailedURL: in.FailedURL}
		p.Base = fileHash(s.config.RoutesFile)
		return s.propose(ctx, call, request, p)
	})
	mcp.AddTool(server, &mcp.Tool{
		Name:        string(supervise.ToolCapability),
		Description: "Ask a human for another image. When it is approved, this bottle stops and is resumed in the new image.",
	}, func(call context.Context, request *mcp.CallToolRequest, in capabilityArgs) (*mcp.CallToolResult, answer, error) {
		p := s.proposal(supervise.ToolCapability, in.Justification)
		p.Capability = &supervise.CapabilityRequest{Containerfile: in.Containerfile}
		p.Base = fileHash(s.config.Containerfile)
		return s.propose(ctx, call, request, p)
	})
	readOnly := &mcp.ToolAnnotations{ReadOnlyHint: true}
	mcp.AddTool(server, &mcp.Tool{
		Name: "list-egress-routes", Annotations: readOnly,
		Description: "List the hosts, paths and methods that are let through now.",
	}, func(context.Context, *mcp.CallToolRequest, noArgs) (*mcp.CallToolResult, routeList, error) {
		leave, err := s.enter()
		if err != nil {
			return nil, routeList{}, err
		}
		defer leave()
		routes, err := readRoutes(s.config.RoutesFile)
		return nil, routes, err
	})
	mcp.AddTool(server, &mcp.Tool{
		Name: "proposal-status", Annotations: readOnly,
		Description: "Say how a proposal stands, or the recent ones. Does not wait.",
	}, func(_ context.Context, _ *mcp.CallToolRequest, in statusArgs) (*mcp.CallToolResult, statuses, error) {
		leave, err := s.enter()
		if err != nil {
			return nil, statuses{}, err
		}
		defer leave()
		return s.status(in.ID)
	})
}

// proposal starts a proposal.
func (s *Server) proposal(tool supervise.Tool, justification string) supervise.Proposal {
	return supervise.Proposal{Slug: s.config.Slug, Tool: tool, Justification: justification, Time: time.Now()}
}

// recent is how many proposals proposal-status lists.
const recent = 20

func (s *Server) status(id string) (*mcp.CallToolResult, statuses, error) {
	if id != "" {
		entry, err := s.queue.Find(id)
		if err != nil {
			if !errors.Is(err, supervise.ErrUnknown) {
				s.config.Log.Error("status", "error", err.Error())
				err = errors.New("the proposal cannot be read")
			}
			return nil, statuses{}, err
		}
		return nil, statuses{[]answer{toAnswer(entry)}}, nil
	}
	s.listing.Lock()
	defer s.listing.Unlock()
	all := statuses{Proposals: []answer{}}
	pending, _ := s.queue.Pending()
	slices.Reverse(pending)
	for _, p := range pending {
		all.Proposals = append(all.Proposals, toAnswer(supervise.Entry{Proposal: p}))
	}
	decided, _ := s.queue.Decided(recent)
	for _, entry := range decided {
		all.Proposals = append(all.Proposals, toAnswer(entry))
	}
	all.Proposals = all.Proposals[:min(recent, len(all.Proposals))]
	return nil, all, nil
}

// propose puts a proposal into the queue and waits for its answer.
func (s *Server) propose(ctx, call context.Context, request *mcp.CallToolRequest, p supervise.Proposal) (*mcp.CallToolResult, answer, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, answer{}, err
	}
	defer leave()
	p, err = supervise.NewProposal(p)
	if err != nil {
		return nil, answer{}, err
	}
	p, err = s.admit(call, p)
	if err != nil {
		return nil, answer{}, err
	}
	return s.await(ctx, call, request, p)
}

// admit writes a proposal if the limits allow it. One that asks for the same as
// a waiting one becomes that one, so that a client may ask again. Without an
// operator the proposal is written down and denied.
func (s *Server) admit(ctx context.Context, p supervise.Proposal) (supervise.Proposal, error) {
	s.admission.Lock()
	defer s.admission.Unlock()
	pending, _ := s.queue.Pending()
	for _, waiting := range pending {
		if waiting.Same(p) {
			return waiting, nil
		}
	}
	if len(pending) >= s.config.Limits.Pending {
		s.config.Log.Warn("refused", "tool", p.Tool, "reason", "too many pending")
		return p, fmt.Errorf("%d proposals wait already; wait until they are answered", len(pending))
	}
	if !s.rate.Allow() {
		s.config.Log.Warn("refused", "tool", p.Tool, "reason", "too fast")
		return p, fmt.Errorf("too many proposals; one is taken every %v", s.config.Limits.Every)
	}
	if s.config.OnApproval == 0 {
		return p, s.deny(ctx, p)
	}
	if err := s.submit(p); err != nil {
		s.config.Log.Error("proposal", "id", p.ID, "error", err.Error())
		return p, errors.New("the proposal could not be written down")
	}
	s.config.Log.Info("proposal", "id", p.ID, "tool", p.Tool)
	return p, nil
}

// submit puts a proposal on record and into the queue.
func (s *Server) submit(p supervise.Proposal) error {
	if _, err := s.config.Audit.Append(supervise.ProposalRecord(p)); err != nil {
		return err
	}
	return s.queue.Submit(p)
}

// respond puts an answer that no operator gave on record and into the queue. The
// caller holds the queue's lock and knows that the proposal is pending.
func (s *Server) respond(p supervise.Proposal, status supervise.Status, notes string) error {
	r := supervise.Response{ID: p.ID, Status: status, Notes: notes, Time: time.Now().UTC()}
	if _, err := s.config.Audit.Append(supervise.DecisionRecord(p, r)); err != nil {
		return err
	}
	return s.queue.Respond(r)
}

// unattended is what an agent is told where there is no operator.
const unattended = "this bottle runs unattended: requests for more are denied at once; go on without it and say in your result what was missing"

// deny answers a proposal for which there is no operator.
func (s *Server) deny(ctx context.Context, p supervise.Proposal) error {
	unlock, err := s.queue.Lock(ctx)
	if err == nil {
		defer unlock()
		err = s.submit(p)
	}
	if err == nil {
		err = errors.Join(s.respond(p, supervise.StatusRejected, unattended), s.queue.Archive(p.ID), s.queue.Prune(s.config.Limits.Archived))
	}
	if err != nil {
		s.config.Log.Error("proposal", "id", p.ID, "error", err.Error())
		return errors.New("denied; the proposal could not be written down")
	}
	s.config.Log.Info("denied", "id", p.ID, "tool", p.Tool, "reason", "unattended")
	return nil
}

// upper returns the strings in upper case.
func upper(values []string) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = strings.ToUpper(v)
	}
	return out
}

// unique keeps the first of equal values.
func unique(values []string) []string {
	var out []string
	for _, v := range values {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}
