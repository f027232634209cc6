package resolve

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/podbottle/podbottle/internal/state"
	"github.com/podbottle/podbottle/internal/supervise"
)

func TestAwaitsRebuild(t *testing.T) {
	const slug = "fixer-x7k2p"
	root := t.TempDir()
	tree, err := state.Of(root, slug)
	if err != nil {
		t.Fatal(err)
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	awaits := func(want bool, when string) {
		t.Helper()
		if got, err := AwaitsRebuild(root, slug); err != nil || got != want {
			t.Errorf("%s: %t, %v", when, got, err)
		}
	}
	do(state.MakeDir(tree.Dir()))
	do(state.WriteMetadata(root, state.Metadata{Identity: slug}))
	current := supervise.Plan{CurrentConfigDir: tree.CurrentConfig()}.ContainerfilePath()
	do(os.MkdirAll(filepath.Dir(current), 0o700))
	launch := func(dockerfile, recipe string) {
		t.Helper()
		do(SaveLaunch(root, &Plan{Slug: slug, DockerfilePath: dockerfile}))
		do(state.WriteFile(current, []byte(recipe)))
	}

	awaits(false, "before the first launch")
	launch("", "FROM a\n")
	awaits(false, "in the provider's image")
	do(state.ReplaceDockerfile(root, slug, []byte("FROM a\n")))
	awaits(true, "approved, with the text that it has already")
	launch(tree.Dockerfile(), "FROM a\n")
	awaits(false, "in its own image")
	do(state.ReplaceDockerfile(root, slug, []byte("FROM b\n")))
	awaits(true, "approved again")
	do(state.WithdrawDockerfile(root, slug))
	awaits(false, "withdrawn")
	do(state.WriteFile(tree.Plan(), []byte("{")))
	if _, err := AwaitsRebuild(root, slug); err == nil {
		t.Error("a damaged plan says that nothing was approved")
	}
}
