package resolve_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"golang.org/x/crypto/ssh"

	"github.com/podbottle/podbottle/internal/manifest"
	"github.com/podbottle/podbottle/internal/pipelock"
	"github.com/podbottle/podbottle/internal/resolve"
	"github.com/podbottle/podbottle/internal/secret"
)

var update = flag.Bool("update", false, "write what resolution gives into testdata")

// A case is a txtar archive: its files below home/ and cwd/ are laid out in a
// scratch directory, "spec", "env", "exists" and "answers" are the rest of the
// input, and "want" is what must come out. $WORK stands for the scratch directory.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c := newCase(t, archive)
			got := c.run(t)
			if *update {
				c.update(t, file, archive, got)
				return
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got (go test -update writes it):\n%s", diff)
			}
		})
	}
}

// docs/seed-map.md says what each case shows.
func TestSeedMapIsWhole(t *testing.T) {
	text, err := os.ReadFile("../../docs/seed-map.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	var prefixes []string
	for word := range strings.FieldsFuncSeq(string(text), func(r rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789-*", r) }) {
		if prefix, ok := strings.CutSuffix(word, "-*"); ok {
			prefixes = append(prefixes, prefix+"-")
		}
		named[word] = true
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		if !named[name] && !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
			t.Errorf("docs/seed-map.md does not mention the case %s", name)
		}
	}
}

type goldenCase struct {
	work    string
	spec    resolve.Spec
	env     map[string]string
	exists  map[string]bool   // "pod NAME", "container NAME"
	answers map[string]string // nil without a terminal
	runsc   bool
	show    []string // keys of the plan, and state: with the start of a path; nil for all
	want    string
	asked   []string
}

func newCase(t *testing.T, archive *txtar.Archive) *goldenCase {
	t.Helper()
	c := &goldenCase{work: t.TempDir(), env: map[string]string{}, exists: map[string]bool{}}
	for _, dir := range []string{"home/.bot-bottle", "cwd"} {
		if err := os.MkdirAll(filepath.Join(c.work, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range archive.Files {
		text := strings.ReplaceAll(string(f.Data), "$WORK", c.work)
		if strings.Contains(text, "$PRIVATE_KEY") {
			text = strings.ReplaceAll(text, "$PRIVATE_KEY", privateKey(t))
		}
		switch f.Name {
		case "spec":
			if err := json.Unmarshal([]byte(text), &c.spec); err != nil {
				t.Fatalf("spec: %v", err)
			}
		case "env":
			for line := range strings.Lines(text) {
				name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
				c.env[name] = value
			}
		case "exists":
			for line := range strings.Lines(text) {
				c.exists[strings.TrimSpace(line)] = true
			}
		case "answers":
			c.answers = map[string]string{}
			for line := range strings.Lines(text) {
				name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
				c.answers[name] = value
			}
		case "show":
			c.show = strings.Fields(text)
		case "runsc":
			c.runsc = true
		case "want":
			c.want = string(f.Data)
		case "links":
			// read last: the targets may be files of the archive
		default:
			c.write(t, f.Name, text)
		}
	}
	for _, f := range archive.Files {
		if f.Name == "links" {
			for line := range strings.Lines(strings.ReplaceAll(string(f.Data), "$WORK", c.work)) {
				name, target, ok := strings.Cut(strings.TrimSpace(line), " -> ")
				if !ok {
					continue
				}
				if err := os.Symlink(target, filepath.Join(c.work, name)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if sock := c.env["SSH_AUTH_SOCK"]; sock != "" {
		listener, err := net.Listen("unix", sock)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { listener.Close() })
	}
	if c.spec.UserCwd == "" {
		c.spec.UserCwd = filepath.Join(c.work, "cwd")
	}
	return c
}

// privateKey is a key as ssh-keygen writes it.
func privateKey(t *testing.T) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block))
}

func (c *goldenCase) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(c.work, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (c *goldenCase) host() resolve.Host {
	host := resolve.Host{
		LookupEnv: func(name string) (string, bool) { v, ok := c.env[name]; return v, ok },
		Now:       func() time.Time { return time.Date(2026, 6, 2, 2, 24, 17, 0, time.UTC) },
		Rand:      bytes.NewReader(bytes.Repeat([]byte{10, 11, 12, 1, 2, 255, 13, 14, 15, 3, 4}, 40)), // abc12, def34, abc12, …
		Root:      filepath.Join(c.work, "home", ".bot-bottle"),
		Home:      filepath.Join(c.work, "home"),
		Exists: func(kind, name string) (bool, error) {
			if c.exists["unreachable"] {
				return false, errors.New("podman does not answer")
			}
			return c.exists[kind+" "+name] || c.exists[kind+" *"], nil
		},
		RunscAvailable: c.runsc,
		Embedded:       fstest.MapFS{"images/claude/Containerfile": {Data: []byte("FROM claude-base\n")}},
	}
	if c.answers != nil {
		host.Prompt = func(name, text string) (secret.Value, error) {
			c.asked = append(c.asked, fmt.Sprintf("%s %q", name, text))
			value, ok := c.answers[name]
			if !ok {
				return secret.Value{}, errors.New("interrupted")
			}
			return secret.New(value), nil
		}
	}
	return host
}

// run gives everything that a user or a later step can see of the outcome.
func (c *goldenCase) run(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	host := c.host()
	ix, err := manifest.Open(host.Root, c.spec.UserCwd)
	var plan *resolve.Plan
	if err == nil {
		plan, err = resolve.Resolve(t.Context(), host, ix, c.spec)
	}
	for _, question := range c.asked {
		fmt.Fprintf(&out, "asked: %s\n", question)
	}
	if err != nil {
		fmt.Fprintf(&out, "error: %v\n", err)
	} else {
		c.showPlan(t, &out, host, plan)
	}
	c.showState(t, &out, host.Root)
	return strings.ReplaceAll(out.String(), c.work, "$WORK")
}

func (c *goldenCase) showPlan(t *testing.T, out *strings.Builder, host resolve.Host, plan *resolve.Plan) {
	t.Helper()
	data, err := json.MarshalIndent(c.selected(t, plan), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(out, "plan: %s\n", data)
	for _, name := range plan.ForwardedNames {
		fmt.Fprintf(out, "forwarded: %s=%s\n", name, plan.ForwardedEnv[name].Reveal())
	}
	tokens, err := resolve.Tokens(plan, host.LookupEnv)
	if err != nil {
		fmt.Fprintf(out, "tokens: error: %v\n", err)
	}
	for i := range len(tokens) {
		slot := fmt.Sprintf("EGRESS_TOKEN_%d", i)
		fmt.Fprintf(out, "tokens: %s=%s\n", slot, tokens[slot].Reveal())
	}
}

// selected is the plan, or the keys of it that the case is about.
func (c *goldenCase) selected(t *testing.T, plan *resolve.Plan) any {
	t.Helper()
	if c.show == nil {
		return plan
	}
	data, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	chosen := map[string]json.RawMessage{}
	for _, key := range c.show {
		if strings.HasPrefix(key, "state:") {
			continue
		}
		value, ok := all[key]
		if !ok {
			value = json.RawMessage("null")
		}
		chosen[key] = value
	}
	return chosen
}

// shows reports whether a file of the state tree is part of what the case is about.
func (c *goldenCase) shows(rel string) bool {
	return c.show == nil || slices.ContainsFunc(c.show, func(key string) bool {
		prefix, ok := strings.CutPrefix(key, "state:")
		return ok && strings.Contains(rel, prefix)
	})
}

// showState lists the state tree with modes and prints its files.
func (c *goldenCase) showState(t *testing.T, out *strings.Builder, root string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if !strings.HasPrefix(rel, "state/") && !strings.HasPrefix(rel, "queue/") {
			return nil
		}
		if !c.shows(rel) {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%v %s\n", info.Mode(), rel)
		if d.IsDir() {
			return nil
		}
		if d.Name() == pipelock.ConfigFile {
			return nil // its content is package pipelock's to show
		}
		data, err := os.ReadFile(path)
		for line := range strings.Lines(string(data)) {
			fmt.Fprintf(out, "  | %s\n", strings.TrimSuffix(line, "\n"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (c *goldenCase) update(t *testing.T, file string, archive *txtar.Archive, got string) {
	t.Helper()
	files := archive.Files[:0]
	for _, f := range archive.Files {
		if f.Name != "want" {
			files = append(files, f)
		}
	}
	archive.Files = append(files, txtar.File{Name: "want", Data: []byte(got)})
	if err := os.WriteFile(file, txtar.Format(archive), 0o600); err != nil {
		t.Fatal(err)
	}
}
