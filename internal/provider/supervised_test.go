package provider

import (
	"encoding/json"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

const mcpURL = "http://supervise:9100/"

func planFor(t *testing.T, template, mcp string) Plan {
	t.Helper()
	plan, err := New(Input{
		Config:    Config{Template: template, Command: []string{"sh"}},
		GuestHome: "/home/node", WorkDir: "/home/node/workspace", Guide: "/home/node/guide.md", MCPServer: mcp,
	})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func content(t *testing.T, plan Plan, path string) []byte {
	t.Helper()
	for _, f := range plan.Files {
		if f.Path == path {
			return f.Content
		}
	}
	t.Fatalf("%s has no file %s", plan.Template, path)
	return nil
}

func TestClaudeKnowsTheMCPServer(t *testing.T) {
	for _, url := range []string{mcpURL, ""} {
		var config struct {
			MCPServers map[string]struct{ Type, URL string }
		}
		if err := json.Unmarshal(content(t, planFor(t, "claude", url), "/home/node/.claude.json"), &config); err != nil {
			t.Fatal(err)
		}
		server, registered := config.MCPServers["supervise"]
		if registered != (url != "") || registered && (server.Type != "http" || server.URL != url) {
			t.Errorf("supervised at %q, registered as %+v", url, config.MCPServers)
		}
	}
}

func TestCodexKnowsTheMCPServer(t *testing.T) {
	for _, url := range []string{mcpURL, ""} {
		var config struct {
			Servers map[string]struct {
				URL     string `toml:"url"`
				Timeout int    `toml:"tool_timeout_sec"`
			} `toml:"mcp_servers"`
			Projects map[string]struct {
				Trust string `toml:"trust_level"`
			} `toml:"projects"`
		}
		if err := toml.Unmarshal(content(t, planFor(t, "codex", url), "/home/node/.codex/config.toml"), &config); err != nil {
			t.Fatal(err)
		}
		server, registered := config.Servers["supervise"]
		if registered != (url != "") || registered && (server.URL != url || server.Timeout < 3600) {
			t.Errorf("supervised at %q, registered as %+v", url, config.Servers)
		}
		if config.Projects["/home/node/workspace"].Trust != "trusted" {
			t.Errorf("the working directory is not trusted: %+v", config.Projects)
		}
	}
}

func TestCommandKnowsTheMCPServer(t *testing.T) {
	for _, url := range []string{mcpURL, ""} {
		if got := planFor(t, "command", url).GuestEnv["BOT_BOTTLE_MCP_URL"]; got != url {
			t.Errorf("supervised at %q, the variable is %q", url, got)
		}
	}
}

func TestTheAgentIsLedToTheGuide(t *testing.T) {
	for template, path := range map[string]string{"claude": "/home/node/.claude/CLAUDE.md", "codex": "/home/node/.codex/AGENTS.md"} {
		for _, f := range planFor(t, template, mcpURL).Files {
			if f.Path == path && !f.Once {
				t.Errorf("%s: %s would replace the user's own", template, path)
			}
		}
		content(t, planFor(t, template, mcpURL), path)
	}
}
