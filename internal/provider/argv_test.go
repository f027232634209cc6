package provider

import (
	"slices"
	"testing"
)

func TestArgv(t *testing.T) {
	const prompt = "/home/node/.bot-bottle-prompt.txt"
	claude := Plan{Template: "claude", Command: []string{"claude", "--dangerously-skip-permissions"}}
	codex := Plan{Template: "codex", Command: []string{"codex", "--dangerously-bypass-approvals-and-sandbox"}}
	command := Plan{Template: "command", Command: []string{"sh", "-c", "exec cat"}}
	tests := []struct {
		name    string
		plan    Plan
		session Session
		want    []string // after the command; nil when refused
		err     string
	}{
		{name: "claude", plan: claude, want: []string{}},
		{name: "claude with a prompt", plan: claude, session: Session{PromptFile: prompt}, want: []string{"--append-system-prompt-file", prompt}},
		{name: "claude resumed", plan: claude, session: Session{PromptFile: prompt, Resume: true}, want: []string{"--continue", "--append-system-prompt-file", prompt}},
		{name: "claude headless", plan: claude, session: Session{Headless: true, PromptFile: prompt}, want: []string{"--append-system-prompt-file", prompt, "--print"}},
		{name: "claude remote control", plan: claude, session: Session{RemoteControl: true}, want: []string{"--remote-control"}},
		{name: "claude remote control headless", plan: claude, session: Session{RemoteControl: true, Headless: true}, err: "--remote-control needs a terminal session, not --headless"},
		{name: "codex", plan: codex, want: []string{}},
		{name: "codex with a prompt", plan: codex, session: Session{PromptFile: prompt}, want: []string{"Read " + prompt + " and follow it as your instructions."}},
		{name: "codex resumed", plan: codex, session: Session{PromptFile: prompt, Resume: true}, want: []string{"resume", "--last"}},
		{name: "codex remote control", plan: codex, session: Session{RemoteControl: true}, err: "--remote-control: codex has none"},
		{name: "command", plan: command, session: Session{Headless: true, PromptFile: prompt, Resume: true}, want: []string{}},
		{name: "command remote control", plan: command, session: Session{RemoteControl: true}, err: "--remote-control: the template command has none"},
		{name: "unknown", plan: Plan{Template: "pi"}, err: `agent_provider.template is "pi"; it is one of: claude, codex, command`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Argv(tt.plan, tt.session)
			if tt.err != "" {
				if err == nil || err.Error() != tt.err {
					t.Errorf("got %q, %v; want the error %q", got, err, tt.err)
				}
				return
			}
			if want := slices.Concat(tt.plan.Command, tt.want); err != nil || !slices.Equal(got, want) {
				t.Errorf("got %q, %v; want %q", got, err, want)
			}
		})
	}
}

// Codex's exec is a subcommand, so its arguments are not a suffix of the command.
func TestArgvCodexHeadless(t *testing.T) {
	const bypass = "--dangerously-bypass-approvals-and-sandbox"
	plan := Plan{Template: "codex", Command: []string{"codex", bypass}}
	tests := map[string]struct {
		session Session
		want    []string
	}{
		"plain":  {Session{Headless: true}, []string{"codex", "exec", bypass, "--skip-git-repo-check", "-"}},
		"resume": {Session{Headless: true, Resume: true, PromptFile: "/p"}, []string{"codex", "exec", bypass, "--skip-git-repo-check", "resume", "--last", "-"}},
		"prompt": {Session{Headless: true, PromptFile: "/p"}, []string{"codex", "exec", bypass, "--skip-git-repo-check", "Read /p and follow it as your instructions. The task is on standard input."}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Argv(plan, tt.session)
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
			if !slices.Equal(plan.Command, []string{"codex", bypass}) {
				t.Errorf("the plan's command became %q", plan.Command)
			}
		})
	}
}
