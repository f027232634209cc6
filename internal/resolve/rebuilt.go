package resolve

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/podbottle/podbottle/internal/state"
	"github.com/podbottle/podbottle/internal/supervise"
)

// AwaitsRebuild reports whether a capability change was approved since the last
// launch of the bottle: its own recipe is not the one that it was launched with.
func AwaitsRebuild(root, slug string) (bool, error) {
	tree, err := state.Of(root, slug)
	if err != nil {
		return false, err
	}
	own, err := os.ReadFile(tree.Dockerfile())
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("recipe of bottle %s: %w", slug, err)
	}
	plan, err := LastPlan(root, slug)
	if err != nil {
		return false, err
	}
	if plan.DockerfilePath != tree.Dockerfile() {
		return true, nil
	}
	current, err := os.ReadFile(supervise.Plan{CurrentConfigDir: tree.CurrentConfig()}.ContainerfilePath())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return false, fmt.Errorf("current Containerfile: %w", err)
	}
	return !bytes.Equal(own, current), nil
}
