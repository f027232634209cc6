package bottle

import (
	"fmt"
	"os"
	"path"

	"github.com/podbottle/podbottle/internal/gitgate"
	"github.com/podbottle/podbottle/internal/provider"
	"github.com/podbottle/podbottle/internal/resolve"
	"github.com/podbottle/podbottle/internal/state"
)

// promptFile is the seed's name for the prompt in the agent's home.
const promptFile = ".bot-bottle-prompt.txt"

// promptPath is where the agent finds its system prompt; empty without one.
func promptPath(plan *resolve.Plan) string {
	if plan.Prompt == "" {
		return ""
	}
	return path.Join(plan.AgentProvision.GuestHome, promptFile)
}

// homeFiles are what podbottle itself puts into the agent's home, beside the
// provider's files.
func homeFiles(plan *resolve.Plan) ([]provider.File, error) {
	home := plan.AgentProvision.GuestHome
	files := []provider.File{
		{Path: path.Join(home, promptFile), Mode: 0o600, Content: []byte(plan.Prompt)},
		{Path: path.Join(home, resolve.GuideFile), Mode: 0o400, Content: resolve.Guide(plan)},
	}
	if plan.Supervise != nil {
		current, err := os.ReadFile(plan.Supervise.ContainerfilePath())
		if err != nil {
			return nil, fmt.Errorf("current Containerfile: %w", err)
		}
		files = append(files, provider.File{Path: path.Join(home, resolve.ContainerfileFile), Mode: 0o400, Content: current})
	}
	if text := gitgate.Gitconfig(plan.GitGate); len(text) > 0 {
		files = append(files, provider.File{Path: path.Join(home, ".gitconfig"), Mode: 0o600, Content: text})
	}
	skills, err := resolve.SkillFiles(plan)
	return append(files, skills...), err
}

// tree is the bottle's part of the state tree.
func (s *launch) tree() (state.Tree, error) { return state.Of(s.Root, s.plan.Slug) }
