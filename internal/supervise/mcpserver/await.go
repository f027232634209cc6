package mcpserver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/podbottle/podbottle/internal/supervise"
)

// progressEvery keeps clients from giving up: they count the time since the last
// sign of life, and some cut a stream that is silent for a minute.
const progressEvery = 10 * time.Second

// await waits until the proposal has its answer, the caller hangs up (call), or
// the server stops (ctx). In the last two cases the proposal stays.
func (s *Server) await(ctx, call context.Context, request *mcp.CallToolRequest, p supervise.Proposal) (*mcp.CallToolResult, answer, error) {
	hangup, _ := call.Value(gone{}).(<-chan struct{})
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	started := time.Now()
	for first := true; ; first = false {
		changed := s.changes()
		entry, err := s.queue.Find(p.ID)
		if err != nil {
			s.config.Log.Error("wait", "id", p.ID, "error", err.Error())
			return nil, answer{}, errors.New("the proposal " + p.ID + " cannot be read any more")
		}
		if entry.Response != nil {
			return nil, toAnswer(entry), nil
		}
		if first {
			alive(call, request, p.ID, 0)
		}
		select {
		case <-changed:
		case <-tick.C:
			alive(call, request, p.ID, time.Since(started))
		case <-hangup:
			return nil, answer{}, context.Canceled
		case <-call.Done():
			return nil, answer{}, call.Err()
		case <-ctx.Done():
			a := toAnswer(entry)
			a.Notes = "the server stops; the proposal stays, ask proposal-status with its ID later"
			return nil, a, nil
		}
	}
}

// alive tells the client that the call still waits: a progress notification where
// it asked for them, else a log message on the same stream. The proposal's ID is
// in it, so that a client that gives up knows what to ask for.
func alive(call context.Context, request *mcp.CallToolRequest, id string, waited time.Duration) {
	message := fmt.Sprintf("proposal %s waits for a human (%v)", id, waited.Round(time.Second))
	if token := request.Params.GetProgressToken(); token != nil {
		_ = request.Session.NotifyProgress(call, &mcp.ProgressNotificationParams{
			ProgressToken: token, Message: message, Progress: waited.Seconds(),
		})
		return
	}
	//nolint:staticcheck // MCP 2026-07-28 deprecates logging (SEP-2577); clients that ask for no progress get no other sign of life
	_ = request.Session.Log(call, &mcp.LoggingMessageParams{Level: "info", Logger: supervise.ServerName, Data: message})
}
