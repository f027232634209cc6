package resolve_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/podbottle/podbottle/internal/manifest"
	"github.com/podbottle/podbottle/internal/resolve"
	"github.com/podbottle/podbottle/internal/secret"
	"github.com/podbottle/podbottle/internal/state"
)

// layOut makes a case of an archive's text.
func layOut(t *testing.T, text string) *goldenCase {
	t.Helper()
	return newCase(t, txtar.Parse([]byte(text)))
}

func (c *goldenCase) resolve(t *testing.T) (resolve.Host, *resolve.Plan) {
	t.Helper()
	host := c.host()
	ix, err := manifest.Open(host.Root, c.spec.UserCwd)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := resolve.Resolve(t.Context(), host, ix, c.spec)
	if err != nil {
		t.Fatal(err)
	}
	return host, plan
}

func entries(t *testing.T, archive []byte) map[string]string {
	t.Helper()
	files := map[string]string{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = string(content)
	}
}

func names(files map[string]string) []string {
	var all []string
	for name := range files {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

const agentInBottle = `
-- home/.bot-bottle/agents/fixer.md --
---
bottle: web
---
Fix it.
-- home/.bot-bottle/bottles/web.md --
---
`

func TestWriteWorkspace(t *testing.T) {
	c := layOut(t, `
-- spec --
{"agent_name": "fixer", "copy_cwd": true}
-- cwd/main.go --
package main
-- cwd/Containerfile --
FROM evil
-- cwd/.containerignore --
Containerfile
`+agentInBottle+`agent_provider: {template: command, image: docker.io/library/alpine, command: [sh]}
---
`)
	_, plan := c.resolve(t)
	var buf bytes.Buffer
	if err := resolve.WriteWorkspace(&buf, plan); err != nil {
		t.Fatal(err)
	}
	files := entries(t, buf.Bytes())
	want := []string{"Containerfile", "home/workspace/", "home/workspace/.containerignore", "home/workspace/main.go"}
	if got := names(files); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	const recipe = "FROM docker.io/library/alpine\nCOPY --chown=1000:1000 [\"home/\",\"/home/node/\"]\n"
	if files["Containerfile"] != recipe {
		t.Errorf("the recipe is %q", files["Containerfile"])
	}
	plan.Workspace = nil
	if err := resolve.WriteWorkspace(io.Discard, plan); err == nil {
		t.Error("a plan without a workspace gave one")
	}
}

// The recipe of an approved capability change was written by the agent and lies
// beside the bottle's secrets: it must get nothing to copy.
func TestWriteContextRebuilt(t *testing.T) {
	c := layOut(t, `
-- spec --
{"agent_name": "fixer", "identity": "fixer-old12"}
-- home/.bot-bottle/state/fixer-old12/Dockerfile --
FROM x
COPY . /stolen
`+agentInBottle+`---
`)
	_, plan := c.resolve(t)
	var buf bytes.Buffer
	if err := resolve.WriteContext(&buf, plan); err != nil {
		t.Fatal(err)
	}
	if got := names(entries(t, buf.Bytes())); !slices.Equal(got, []string{"Dockerfile"}) {
		t.Errorf("the context holds %q", got)
	}
}

func TestWriteContextManifest(t *testing.T) {
	c := layOut(t, `
-- spec --
{"agent_name": "fixer"}
-- cwd/docker/Dockerfile.agent --
FROM x
-- cwd/docker/tool.sh --
echo
-- cwd/docker/.dockerignore --
Dockerfile.agent
-- cwd/secret --
SECRET
-- links --
cwd/docker/link -> ../secret
`+agentInBottle+`agent_provider: {dockerfile: docker/Dockerfile.agent}
---
`)
	_, plan := c.resolve(t)
	var buf bytes.Buffer
	if err := resolve.WriteContext(&buf, plan); err != nil {
		t.Fatal(err)
	}
	files := entries(t, buf.Bytes())
	if got := names(files); !slices.Equal(got, []string{".dockerignore", "Dockerfile.agent", "tool.sh"}) || files["Dockerfile.agent"] != "FROM x\n" {
		t.Errorf("the context holds %q", files)
	}
}

func TestSkillFiles(t *testing.T) {
	c := layOut(t, `
-- spec --
{"agent_name": "fixer"}
-- home/src/run-tests/SKILL.md --
# Run
-- home/src/run-tests/scripts/run.sh --
true
-- home/secret --
SECRET
-- home/.claude/skills/empty/.keep --
-- links --
home/.claude/skills/run-tests -> ../../src/run-tests
home/src/run-tests/link -> ../../secret
-- home/.bot-bottle/agents/fixer.md --
---
bottle: web
skills: [run-tests]
---
-- home/.bot-bottle/bottles/web.md --
---
---
`)
	if err := os.Chmod(filepath.Join(c.work, "home/src/run-tests/scripts/run.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, plan := c.resolve(t)
	files, err := resolve.SkillFiles(plan)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		got = append(got, fmt.Sprintf("%s %o %s", f.Path, f.Mode, f.Content))
	}
	want := []string{"/home/node/.claude/skills/run-tests/SKILL.md 600 # Run\n", "/home/node/.claude/skills/run-tests/scripts/run.sh 755 true\n"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := os.RemoveAll(filepath.Join(c.work, "home/src")); err != nil {
		t.Fatal(err)
	}
	if _, err := resolve.SkillFiles(plan); err == nil {
		t.Error("a skill that vanished is no error")
	}
}

const resumable = `
-- spec --
{"agent_name": "fixer", "copy_cwd": true, "label": "mine", "firewall": "builtin"}
-- env --
T=token
` + agentInBottle + `agent_provider: {template: command, image: alpine, command: [sh]}
env: {A: one}
egress: {routes: [{host: a.example.org}, {host: b.example.org, auth: {scheme: token, token_ref: T}}]}
---
`

func TestResume(t *testing.T) {
	c := layOut(t, resumable)
	host, plan := c.resolve(t)
	if changes, err := resolve.Changes(host.Root, plan); err != nil || changes != nil {
		t.Errorf("before the first launch: %v, %v", changes, err)
	}
	if err := resolve.SaveLaunch(host.Root, plan); err != nil {
		t.Fatal(err)
	}
	if err := state.SetPreserve(host.Root, plan.Slug); err != nil {
		t.Fatal(err)
	}
	m, err := state.ReadMetadata(host.Root, plan.Slug)
	if err != nil || !strings.HasPrefix(m.PlanDigest, "sha256:") {
		t.Fatalf("%+v, %v", m, err)
	}
	spec := resolve.SpecOf(m)
	want := c.spec
	want.Identity = plan.Slug
	if fmt.Sprint(spec) != fmt.Sprint(want) {
		t.Errorf("the specification became %+v, was %+v", spec, want)
	}

	c.spec = spec
	host, plan = c.resolve(t)
	if changes, err := resolve.Changes(host.Root, plan); err != nil || changes != nil {
		t.Errorf("nothing has changed: %v, %v", changes, err)
	}
	c.write(t, "home/.bot-bottle/bottles/web.md", `---
agent_provider: {template: command, image: alpine, command: [sh]}
env: {A: two}
egress: {routes: [{host: new.example.org}, {host: b.example.org, auth: {scheme: Bearer, token_ref: T}}]}
---
`)
	host, plan = c.resolve(t)
	changes, err := resolve.Changes(host.Root, plan)
	if err != nil {
		t.Fatal(err)
	}
	wantChanges := []resolve.Change{
		{Path: "egress.routes[a.example.org].host", Old: `"a.example.org"`},
		{Path: "egress.routes[b.example.org].auth_scheme", Old: `"token"`, New: `"Bearer"`},
		{Path: "egress.routes[new.example.org].host", New: `"new.example.org"`},
		{Path: "literals.A", Old: `"one"`, New: `"two"`},
	}
	if !slices.Equal(changes, wantChanges) {
		t.Errorf("got %+v", changes)
	}
}

func TestDiffRefusesGarbage(t *testing.T) {
	if _, err := resolve.Diff([]byte("{"), []byte("{}")); err == nil {
		t.Error("accepted")
	}
}

func TestAbandon(t *testing.T) {
	c := layOut(t, resumable)
	host, plan := c.resolve(t)
	if err := resolve.Abandon(host.Root, plan, os.RemoveAll); err != nil {
		t.Fatal(err)
	}
	if slugs, err := state.List(host.Root); err != nil || len(slugs) != 0 {
		t.Errorf("a new bottle leaves %v, %v", slugs, err)
	}

	host, plan = c.resolve(t)
	if err := state.SetPreserve(host.Root, plan.Slug); err != nil {
		t.Fatal(err)
	}
	c.spec.Identity = plan.Slug
	host, plan = c.resolve(t)
	if state.Preserved(host.Root, plan.Slug) {
		t.Error("a resumed bottle is still marked")
	}
	if err := resolve.Abandon(host.Root, plan, os.RemoveAll); err != nil || !state.Preserved(host.Root, plan.Slug) {
		t.Errorf("an abandoned resume lost the marker: %v", err)
	}
}

// Claim comes before the first file, and its refusal leaves nothing.
func TestClaim(t *testing.T) {
	c := layOut(t, resumable)
	host := c.host()
	ix, err := manifest.Open(host.Root, c.spec.UserCwd)
	if err != nil {
		t.Fatal(err)
	}
	host.Claim = func(slug string) error {
		if slugs, err := state.List(host.Root); err != nil || len(slugs) != 0 {
			t.Errorf("%s is claimed after %v, %v", slug, slugs, err)
		}
		return state.ErrLocked
	}
	if _, err := resolve.Resolve(t.Context(), host, ix, c.spec); !errors.Is(err, state.ErrLocked) {
		t.Errorf("got %v", err)
	}
	if slugs, err := state.List(host.Root); err != nil || len(slugs) != 0 {
		t.Errorf("it leaves %v, %v", slugs, err)
	}
}

// No secret value appears in a printed form of the plan, in an error, or in a
// file below the state root, whatever the values are.
func TestSecretsStayOut(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		values := map[string]string{}
		for _, name := range []string{"FORWARDED", "ASKED", "TOKEN", "ANTHROPIC"} {
			values[name] = randomText(random)
		}
		c := layOut(t, `
-- spec --
{"agent_name": "fixer"}
`+agentInBottle+`agent_provider: {auth_token: ANTHROPIC}
env: {A: "${FORWARDED}", B: "?question", C: literal}
supervise: true
egress: {routes: [{host: a.example.org, auth: {scheme: header, header: x-key, token_ref: TOKEN}}]}
---
`)
		c.env, c.answers = values, map[string]string{"B": values["ASKED"]}
		host, plan := c.resolve(t)
		tokens, err := resolve.Tokens(plan, host.LookupEnv)
		if err != nil {
			t.Fatal(err)
		}
		if err := resolve.SaveLaunch(host.Root, plan); err != nil {
			t.Fatal(err)
		}
		if plan.ForwardedEnv["A"].Reveal() != values["FORWARDED"] || plan.ForwardedEnv["B"].Reveal() != values["ASKED"] || tokens["EGRESS_TOKEN_0"].Reveal() != values["TOKEN"] {
			t.Fatal("the plan lacks a value")
		}
		for where, text := range printed(t, host.Root, plan, tokens) {
			for name, value := range values {
				if strings.Contains(text, value) {
					t.Errorf("%s holds the value of %s", where, name)
				}
			}
		}
	}
}

func randomText(random *rand.Rand) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 :{}[]\"'#&*!|>%@`,?-=~"
	text := []byte("s3cr3t")
	for range 8 + random.IntN(40) {
		text = append(text, letters[random.IntN(len(letters))])
	}
	return string(text)
}

// printed are all forms in which the plan could get out.
func printed(t *testing.T, root string, plan *resolve.Plan, tokens map[string]secret.Value) map[string]string {
	t.Helper()
	texts := map[string]string{
		"%v": fmt.Sprintf("%v %v", plan, *plan), "%+v": fmt.Sprintf("%+v %+v", plan, *plan), "%#v": fmt.Sprintf("%#v %#v", plan, *plan),
		"%x": fmt.Sprintf("%x", plan.ForwardedEnv), "tokens": fmt.Sprintf("%v %+v %#v %s %q", tokens, tokens, tokens, tokens, tokens),
	}
	data, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	texts["JSON"] = string(data)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("plan", "plan", plan, "env", plan.ForwardedEnv, "tokens", tokens)
	slog.New(slog.NewTextHandler(&log, nil)).Info("plan", "plan", plan, "env", plan.ForwardedEnv, "tokens", tokens)
	texts["log"] = log.String()
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		texts[path] = path + string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}
