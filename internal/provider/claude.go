package provider

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"

	"github.com/podbottle/podbottle/internal/egress"
)

// claudeHost is where Claude Code talks to its model.
const claudeHost = "api.anthropic.com"

// claude is Claude Code. Its credential never enters the bottle: a route with the
// role claude_code_oauth, or auth_token, adds it on the way out, and a
// placeholder in the variable that Claude Code reads makes it start.
func claude() definition {
	const role, placeholderEnv = "claude_code_oauth", "CLAUDE_CODE_OAUTH_TOKEN"
	return definition{
		runtime: Runtime{
			Template:       "claude",
			Image:          "bot-bottle-claude:latest",
			Dockerfile:     "embedded:images/claude/Containerfile",
			AuthRole:       role,
			PlaceholderEnv: placeholderEnv,
			Roles:          []string{role},
		},
		check: func(c Config) error {
			switch {
			case c.ForwardHostCredentials:
				return onlyFor("forward_host_credentials", "codex")
			case c.Image != "":
				return onlyFor("image", "command")
			case len(c.Command) > 0:
				return onlyFor("command", "command")
			}
			return nil
		},
		provision: func(in Input, p *Plan) error {
			p.Command = []string{"claude", "--dangerously-skip-permissions"}
			p.Transcript = path.Join(in.GuestHome, ".claude", "projects")
			if in.Config.AuthToken != "" {
				p.EgressRoutes = []egress.Route{{
					Host: claudeHost, AuthScheme: egress.SchemeBearer, TokenRef: in.Config.AuthToken, TLSPassthrough: true,
				}}
			}
			if in.HasProviderAuth || in.Config.AuthToken != "" {
				p.GuestEnv["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"] = "1"
				p.HiddenEnv = []string{placeholderEnv}
			}
			return claudeFiles(in, p)
		},
		argv: func(p Plan, s Session) ([]string, error) {
			argv := slices.Clone(p.Command)
			if s.Resume {
				argv = append(argv, "--continue")
			}
			if s.PromptFile != "" {
				argv = append(argv, "--append-system-prompt-file", s.PromptFile)
			}
			if s.RemoteControl {
				argv = append(argv, "--remote-control")
			}
			if s.Headless {
				argv = append(argv, "--print")
			}
			return argv, nil
		},
	}
}

// claudeFiles answers the questions that Claude Code asks in a new home: whether
// the directory is trusted and whether skipping permissions is meant. It registers
// the MCP server for all projects, as claude mcp add --scope user does.
func claudeFiles(in Input, p *Plan) error {
	config := map[string]any{
		"hasCompletedOnboarding":        true,
		"bypassPermissionsModeAccepted": true,
		"projects":                      map[string]any{in.WorkDir: map[string]any{"hasTrustDialogAccepted": true}},
	}
	if in.MCPServer != "" {
		config["mcpServers"] = map[string]any{MCPServerName: map[string]any{"type": "http", "url": in.MCPServer}}
	}
	marker, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return fmt.Errorf("trust marker of claude: %w", err)
	}
	settings, err := json.MarshalIndent(map[string]any{"skipDangerousModePermissionPrompt": true}, "", "  ")
	if err != nil {
		return fmt.Errorf("settings of claude: %w", err)
	}
	p.Files = append(p.Files,
		File{Path: path.Join(in.GuestHome, ".claude.json"), Mode: 0o600, Content: append(marker, '\n'), StateName: "claude.json", Merge: true},
		File{Path: path.Join(in.GuestHome, ".claude", "settings.json"), Mode: 0o600, Content: append(settings, '\n'), StateName: "claude-settings.json", Merge: true},
		File{Path: path.Join(in.GuestHome, ".claude", "CLAUDE.md"), Mode: 0o600, Content: pointer(in), StateName: "claude-memory.md", Once: true},
	)
	return nil
}
