package manifest

// AgentFile is the front matter of an agent's file. The text below the front
// matter is the system prompt. The same file can be a Claude Code subagent.
type AgentFile struct {
	// Bottle names the bottle that the agent runs in. Without it the bottles are named with --bottle.
	Bottle string `yaml:"bottle,omitempty"`
	// Skills are directories of ~/.claude/skills to be copied into the bottle.
	Skills []string `yaml:"skills,omitempty"`
	// Label is a text of the user's own that list shows.
	Label string `yaml:"label,omitempty"`
	// Git overlays the bottle's commit identity.
	Git *AgentGitBlock `yaml:"git,omitempty"`
	// GitGate is another way to write git.
	GitGate *AgentGitBlock `yaml:"git-gate,omitempty"`

	// Name is read by Claude Code only.
	Name Ignored `yaml:"name,omitempty"`
	// Description is read by Claude Code only.
	Description Ignored `yaml:"description,omitempty"`
	// Model is read by Claude Code only.
	Model Ignored `yaml:"model,omitempty"`
	// Color is read by Claude Code only.
	Color Ignored `yaml:"color,omitempty"`
	// Memory is read by Claude Code only.
	Memory Ignored `yaml:"memory,omitempty"`
}

func (AgentFile) removedKeys() map[string]string {
	return map[string]string{
		"git_user": "move it under git.user",
		"prompt":   "write the prompt below the front matter",
	}
}

// AgentGitBlock is git of an agent: credentials and hosts belong to the bottle alone.
type AgentGitBlock struct {
	// User is the commit identity.
	User *GitUserBlock `yaml:"user,omitempty"`
}

func (AgentGitBlock) removedKeys() map[string]string {
	const hint = "an agent may be a repository's; remotes and their keys are declared in the bottle"
	return map[string]string{"remotes": hint, "repos": hint}
}
