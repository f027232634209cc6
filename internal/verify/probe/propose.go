package probe

import (
	"context"
	"errors"
	"fmt"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/podbottle/podbottle/internal/supervise"
)

// propose asks supervise for a host and for an image, in words that upset a terminal, with
// MARK behind them, and returns how many proposals were taken.
func propose(ctx context.Context, args []string) (any, error) {
	if len(args) != 1 {
		return nil, errors.New("wanted: propose MARK")
	}
	text := Escapes + args[0]
	client := mcp.NewClient(&mcp.Implementation{Name: "probe", Version: "1"}, nil)
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: supervise.URL, DisableStandaloneSSE: true}, nil)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	taken := 0
	for tool, arguments := range map[supervise.Tool]map[string]any{
		supervise.ToolEgress:     {"host": "asked.podbottle.test", "justification": text},
		supervise.ToolCapability: {"containerfile": "FROM scratch\n# " + text + "\n", "justification": text},
	} {
		result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: string(tool), Arguments: arguments})
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", tool, err)
		case result.IsError:
			return nil, fmt.Errorf("%s: %s", tool, said(result))
		}
		taken++
	}
	return taken, nil
}

// said is the text of a result.
func said(result *mcp.CallToolResult) (text string) {
	for _, content := range result.Content {
		if c, ok := content.(*mcp.TextContent); ok {
			text += c.Text
		}
	}
	return text
}
