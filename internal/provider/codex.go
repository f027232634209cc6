package provider

import (
	"fmt"
	"path"
	"slices"

	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/secret"
)

// codexTokenRef stands for the access token of the host's Codex login. It cannot
// be the name of a variable, so no manifest can mean it.
const codexTokenRef = "codex:host-credentials"

// codex is OpenAI's Codex. It has no placeholder variable on purpose: an
// OPENAI_API_KEY would switch it from the login to the API key.
func codex() definition {
	const bypass = "--dangerously-bypass-approvals-and-sandbox"
	return definition{
		runtime: Runtime{
			Template:   "codex",
			Image:      "bot-bottle-codex:latest",
			Dockerfile: "embedded:images/codex/Containerfile",
			Roles:      []string{"codex_auth"},
		},
		check: func(c Config) error {
			switch {
			case c.AuthToken != "":
				return onlyFor("auth_token", "claude")
			case c.Image != "":
				return onlyFor("image", "command")
			case len(c.Command) > 0:
				return onlyFor("command", "command")
			}
			return nil
		},
		provision: func(in Input, p *Plan) error {
			p.Command = []string{"codex", bypass}
			p.Transcript = path.Join(in.GuestHome, ".codex", "sessions")
			// Codex brings its own TLS library, which reads neither the system's certificates nor Node's variable.
			p.GuestEnv["CODEX_CA_CERTIFICATE"] = CABundle
			p.Files = append(p.Files,
				File{Path: path.Join(in.GuestHome, ".codex", "config.toml"), Mode: 0o600, StateName: "codex-config.toml", Merge: true, Content: codexConfig(in)},
				File{Path: path.Join(in.GuestHome, ".codex", "AGENTS.md"), Mode: 0o600, StateName: "codex-agents.md", Once: true, Content: pointer(in)},
			)
			if !in.Config.ForwardHostCredentials {
				return nil
			}
			return codexCredentials(in, p)
		},
		argv: func(p Plan, s Session) ([]string, error) {
			if s.RemoteControl {
				return nil, fmt.Errorf("--remote-control: codex has none")
			}
			argv := slices.Clone(p.Command)
			if s.Headless {
				return codexHeadless(argv, s), nil
			}
			if s.Resume {
				return append(argv, "resume", "--last"), nil
			}
			if s.PromptFile != "" {
				argv = append(argv, "Read "+s.PromptFile+" and follow it as your instructions.")
			}
			return argv, nil
		},
	}
}

// codexConfig trusts the working directory and registers the MCP server. A tool
// call of that server waits for a human, so Codex's limit of a minute is lifted to
// the longest that a proposal may wait, seven days.
func codexConfig(in Input) []byte {
	config := fmt.Appendf(nil, "[projects.%q]\ntrust_level = \"trusted\"\n", in.WorkDir)
	if in.MCPServer != "" {
		config = fmt.Appendf(config, "\n[mcp_servers.%s]\nurl = %q\ntool_timeout_sec = 604800\n", MCPServerName, in.MCPServer)
	}
	return config
}

// codexHeadless reads the prompt from standard input. With another prompt in the
// arguments Codex appends what it reads there.
func codexHeadless(argv []string, s Session) []string {
	argv = slices.Insert(argv, 1, "exec")
	argv = append(argv, "--skip-git-repo-check")
	switch {
	case s.Resume:
		return append(argv, "resume", "--last", "-")
	case s.PromptFile != "":
		return append(argv, "Read "+s.PromptFile+" and follow it as your instructions. The task is on standard input.")
	default:
		return append(argv, "-")
	}
}

// codexCredentials lets the agent use the host's login without having it: a
// stand-in for the login goes into its home, and egress adds the real token.
func codexCredentials(in Input, p *Plan) error {
	login, err := readCodexLogin(in)
	if err != nil {
		return err
	}
	standIn, err := login.standIn(in.Now)
	if err != nil {
		return err
	}
	p.Files = append(p.Files, File{
		Path: path.Join(in.GuestHome, ".codex", "auth.json"), Mode: 0o600, StateName: "codex-auth.json", Content: standIn,
	})
	for _, host := range []string{"api.openai.com", "chatgpt.com"} {
		p.EgressRoutes = append(p.EgressRoutes, egress.Route{
			Host: host, AuthScheme: egress.SchemeBearer, TokenRef: codexTokenRef, TLSPassthrough: true,
		})
	}
	p.Tokens = map[string]secret.Value{codexTokenRef: login.accessToken}
	return nil
}
