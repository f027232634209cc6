package provider

import (
	"errors"
	"slices"
)

// TemplateCommand is the template for programs of the bottle's own.
const TemplateCommand = "command"

// command is any program on any image. A headless session gives it the prompt on
// standard input.
func command() definition {
	return definition{
		runtime: Runtime{Template: TemplateCommand},
		check: func(c Config) error {
			switch {
			case c.ForwardHostCredentials:
				return onlyFor("forward_host_credentials", "codex")
			case c.AuthToken != "":
				return onlyFor("auth_token", "claude")
			case c.Image == "" && c.Dockerfile == "":
				return errors.New("agent_provider.template is command, so agent_provider.image or agent_provider.dockerfile is needed")
			case len(c.Command) == 0:
				return errors.New("agent_provider.template is command, so agent_provider.command is needed: a list of the program and its arguments")
			}
			return nil
		},
		provision: func(in Input, p *Plan) error {
			p.Command = slices.Clone(in.Config.Command)
			p.GuestEnv["BOT_BOTTLE_GUIDE"] = in.Guide
			if in.MCPServer != "" {
				p.GuestEnv["BOT_BOTTLE_MCP_URL"] = in.MCPServer
			}
			return nil
		},
		argv: func(p Plan, s Session) ([]string, error) {
			if s.RemoteControl {
				return nil, errors.New("--remote-control: the template command has none")
			}
			return slices.Clone(p.Command), nil
		},
	}
}
