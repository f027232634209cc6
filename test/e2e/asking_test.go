//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/podbottle/podbottle/internal/egress/conformance"
	"github.com/podbottle/podbottle/internal/supervise"
)

// What the agent's programs do with supervise, by the official SDK's client.

// connectToSupervise gives the token of every call that says it waits to waits.
func connectToSupervise(ctx context.Context, waits func(token any)) (*mcp.ClientSession, error) {
	client := mcp.NewClient(&mcp.Implementation{Name: "agent", Version: "1"}, &mcp.ClientOptions{
		ProgressNotificationHandler: func(_ context.Context, r *mcp.ProgressNotificationClientRequest) { waits(r.Params.ProgressToken) },
	})
	return client.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: os.Getenv("BOT_BOTTLE_MCP_URL"), DisableStandaloneSSE: true}, nil)
}

// callTool returns the text of a tool's answer, and whether it is an error.
func callTool(ctx context.Context, session *mcp.ClientSession, token, tool string, arguments any) (text string, refused bool, err error) {
	params := &mcp.CallToolParams{Name: tool, Arguments: arguments}
	params.SetProgressToken(token)
	result, err := session.CallTool(ctx, params)
	if err != nil {
		return "", false, err
	}
	if len(result.Content) != 1 {
		return "", false, fmt.Errorf("%d contents in the answer of %s", len(result.Content), tool)
	}
	content, ok := result.Content[0].(*mcp.TextContent)
	if !ok {
		return "", false, fmt.Errorf("%s answers with %T", tool, result.Content[0])
	}
	return content.Text, result.IsError, nil
}

// floodOutcome is what flood prints.
type floodOutcome struct {
	Refused map[string]int `json:"refused"` // by the error's text, without its numbers
	Slowest time.Duration  `json:"slowest"` // of the refused calls
	Waiting int            `json:"waiting"`
}

// flood makes proposals all at once, some of them as large as they come. When all but
// those that wait are refused, it hangs up on these. Argument: how many.
func flood(ctx context.Context, _ *conformance.Agent, args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	ctx, hangUp := context.WithCancel(ctx)
	defer hangUp()
	var mu sync.Mutex
	outcome := floodOutcome{Refused: make(map[string]int)}
	waiting := make(map[any]bool)
	decided := make(chan struct{}, n) // one refused, or one that waits
	session, err := connectToSupervise(ctx, func(token any) {
		mu.Lock()
		defer mu.Unlock()
		if !waiting[token] { // they say so again every ten seconds
			waiting[token] = true
			decided <- struct{}{}
		}
	})
	if err != nil {
		return err
	}
	failures := make(chan error, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			began := time.Now()
			text, refused, err := callTool(ctx, session, strconv.Itoa(i), floodTool(i), floodArguments(i))
			switch {
			case ctx.Err() != nil: // it waited
			case err != nil:
				failures <- err
			case !refused:
				failures <- errors.New("answered: " + text)
			default:
				mu.Lock()
				defer mu.Unlock()
				outcome.Refused[strings.Map(dropDigits, text)]++
				outcome.Slowest = max(outcome.Slowest, time.Since(began))
				decided <- struct{}{}
			}
		})
	}
	for range n {
		select {
		case <-decided:
		case err := <-failures:
			return err
		}
	}
	hangUp()
	group.Wait()
	outcome.Waiting = len(waiting)
	return json.NewEncoder(os.Stdout).Encode(outcome)
}

// large tells which calls of a flood send as much as they may.
func large(i int) bool { return i%20 == 0 }

func floodTool(i int) string {
	if large(i) {
		return string(supervise.ToolCapability)
	}
	return string(supervise.ToolEgress)
}

func floodArguments(i int) map[string]any {
	arguments := map[string]any{"justification": "flood " + strconv.Itoa(i)}
	if large(i) {
		arguments["containerfile"] = "FROM scratch\n" + strings.Repeat(fmt.Sprintf("# %d\n", i), 90<<10/6)
	} else {
		arguments["host"] = fmt.Sprintf("h%d.example.org", i)
	}
	return arguments
}

func dropDigits(r rune) rune {
	if r >= '0' && r <= '9' {
		return -1
	}
	return r
}

// pollOutcome is what poll prints.
type pollOutcome struct {
	Refused int           `json:"refused"` // requests before the one that came through
	Took    time.Duration `json:"took"`    // the one that came through
	Answer  string        `json:"answer"`  // of supervise
}

// poll asks supervise for something, and a URL over and over until it is let through.
// It asks supervise once the URL has been refused. Arguments: the URL, the tool, and its
// arguments in JSON.
func poll(ctx context.Context, agent *conformance.Agent, args []string) error {
	session, err := connectToSupervise(ctx, func(any) {})
	if err != nil {
		return err
	}
	client := agentClient(agent, "h1")
	var outcome pollOutcome
	answered := make(chan error, 1)
	for ; ; time.Sleep(2 * time.Millisecond) {
		began := time.Now()
		res, err := client.Get(args[0])
		if err == nil {
			_ = res.Body.Close()
			outcome.Took = time.Since(began)
			if res.StatusCode == http.StatusOK {
				break
			}
		}
		if outcome.Refused++; outcome.Refused == 1 {
			go func() {
				text, _, err := callTool(ctx, session, "waits", args[1], json.RawMessage(args[2]))
				outcome.Answer = text
				answered <- err
			}()
		}
	}
	if err := <-answered; err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(outcome)
}
