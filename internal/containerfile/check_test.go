package containerfile

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	docker "github.com/fsouza/go-dockerclient"
	"github.com/openshift/imagebuilder"
)

func TestCheck(t *testing.T) {
	tests := map[string]struct {
		text    string
		refusal string // empty when it is taken
	}{
		"plain":                       {"FROM a:1\nUSER root\nRUN apt-get install -y jq\nUSER node\n", ""},
		"stages":                      {"FROM a AS b\nFROM c\nCOPY --from=b --chown=1:1 /x /y\n", ""},
		"here-document":               {"FROM a\nCOPY <<E /x\nADD http://h/ /y\nE\n", ""},
		"a base that is an argument":  {"ARG BASE=docker.io/library/node:22\nFROM ${BASE}\n", ""},
		"an argument that is a text":  {"FROM a\nARG TEXT=\"x $y\"\nRUN echo $TEXT\n", ""},
		"a registry with a port":      {"FROM registry.example.org:5000/a\n", ""},
		"an image called docker":      {"FROM docker:27\n", ""},
		"bind from a stage":           {"FROM a AS b\nRUN --mount=type=bind,from=b,target=/b --mount=type=tmpfs,target=/t x\n", ""},
		"no network":                  {"FROM a\nRUN --network=none x\n", ""},
		"add":                         {"FROM a\nADD http://127.0.0.1/x /x\n", "ADD"},
		"add in lower case":           {"FROM a\nadd x /x\n", "ADD"},
		"add after a continuation":    {"FROM a\nRUN x \\\n y\nADD x /x\n", "line 4"},
		"add behind another escape":   {"# escape=`\nFROM a\nRUN x \\\nADD x /x\n", "ADD"},
		"add for the next build":      {"FROM a\nONBUILD ADD x /x\n", "ONBUILD"},
		"git with the user's key":     {"FROM a\nADD git@host:x.git /x\n", "ADD"},
		"cache":                       {"FROM a\nRUN --mount=type=cache,target=/root/.cache x\n", "type=cache"},
		"secret":                      {"FROM a\nRUN --mount=type=secret,id=x x\n", "type=secret"},
		"ssh":                         {"FROM a\nRUN --mount=type=ssh x\n", "type=ssh"},
		"ssh with the type last":      {"FROM a\nRUN --mount=id=x,type=ssh x\n", "type=ssh"},
		"the host's network":          {"FROM a\nRUN --network=host x\n", "--network=host"},
		"security":                    {"FROM a\nRUN --security=insecure x\n", "--security"},
		"a directory as base":         {"FROM dir:/home/user/x\n", "place of the host"},
		"an archive as base":          {"FROM oci-archive:/x.tar\n", "place of the host"},
		"the store as base":           {"FROM containers-storage:x\n", "place of the host"},
		"in capitals":                 {"FROM OCI:/x\n", "place of the host"},
		"a directory to copy from":    {"FROM a\nCOPY --from=dir:/x /y /z\n", "place of the host"},
		"a directory to mount":        {"FROM a\nRUN --mount=from=oci:/x,target=/y x\n", "place of the host"},
		"a directory by an argument":  {"ARG X=dir:/x\nFROM $X\n", "variables"},
		"an argument in halves":       {"ARG A=di\nARG B=r:/x\nFROM ${A}${B}\n", "variables"},
		"an argument with a default":  {"FROM ${X:-dir:/x}\n", "variables"},
		"an argument that is not set": {"FROM ${X}\n", "variables"},
		"a stage by an argument":      {"FROM a\nARG X=dir:/x\nCOPY --from=$X /y /z\n", "variables"},
		"no image":                    {"FROM\n", "FROM"},
		"an argument that changes":    {"ARG X=a\nARG X=dir:/x\nFROM $X\n", "variables"},
		"an argument of a stage":      {"ARG X=dir:/x\nFROM a\nARG X=b\nFROM $X\n", "variables"},
		"an argument in quotes":       {"ARG X=a\nARG \"X=dir:/x\"\nFROM $X\n", "variables"},
		"quotes in an argument":       {"ARG X=d'ir':/x\nFROM $X\n", "variables"},
		"quotes in a base":            {"FROM d\"ir:\"/x\n", "variables"},
		"a mount by an argument":      {"FROM a\nARG M=type=cache,target=/c\nRUN --mount=$M x\n", "variables"},
		"a part of a mount by one":    {"FROM a\nENV M type=secret,id=x\nRUN --mount=type=bind,$M x\n", "variables"},
		"two types of a mount":        {"FROM a\nRUN --mount=type=cache,target=/c,type=bind x\n", "type=cache"},
		"a flag by an argument":       {"FROM a\nARG F=from=dir:/x\nCOPY --$F /y /z\n", "variables"},
		"a flag in quotes":            {"FROM a\nCOPY --\"from\"=dir:/x /y /z\n", "place of the host"},
		"an owner by an argument":     {"FROM a\nARG U=1\nCOPY --chown=${U}:$U /x /y\n", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := Check([]byte(tt.text))
			if (err == nil) != (tt.refusal == "") || err != nil && !strings.Contains(err.Error(), tt.refusal) {
				t.Errorf("%v, want %q", err, tt.refusal)
			}
		})
	}
}

// What podbottle builds itself has to be a good beginning for an agent's proposal.
func TestOurOwnAreTaken(t *testing.T) {
	for _, name := range []string{"claude", "codex"} {
		text, err := os.ReadFile("../../images/" + name + "/Containerfile")
		if err != nil {
			t.Fatal(err)
		}
		if err := Check(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzCheck has Podman's builder say what it would do for any text that is taken: no
// download, no base and no mount from a place of the host, nothing shared with it.
func FuzzCheck(f *testing.F) {
	for _, text := range []string{
		"FROM a\nRUN --mount=type=bind,\"from=x x\n",
		"ARG\nFROM <<E\nE\n",
		"ARG X=dir:/x\nARG Y=a:1\nFROM $Y AS b\nARG X=a\nENV Z=type=secret\nRUN --mount=type=tmpfs,target=/t --network=none x\nFROM ${X}\nCOPY --from=b --chown=$X /x /y\n",
		"ARG 'X=dir:/x'\nFROM a\nARG M=type=cache,target=/c\nCOPY --\"from\"=b <<E /x\nADD x /y\nE\nRUN --mount=$M x\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if Check(text) != nil {
			return
		}
		node, err := imagebuilder.ParseDockerfile(bytes.NewReader(text))
		if err != nil {
			return
		}
		stages, err := imagebuilder.NewStages(node, imagebuilder.NewBuilder(nil))
		if err != nil {
			return
		}
		acts := acts{t: t, text: text}
		for _, stage := range stages {
			base, err := stage.Builder.From(stage.Node)
			if err != nil {
				continue // the builder would stop here
			}
			acts.image("FROM", base)
			for _, child := range stage.Node.Children {
				step := stage.Builder.Step()
				if step.Resolve(child) != nil || stage.Builder.Run(step, acts, false) != nil {
					break
				}
			}
		}
	})
}

// acts takes what the builder would do.
type acts struct {
	imagebuilder.Executor
	t    *testing.T
	text []byte
}

func (a acts) image(what, name string) {
	if paths.MatchString(name) {
		a.t.Errorf("%q has %s %s", a.text, what, name)
	}
}

func (a acts) Copy(_ []string, copies ...imagebuilder.Copy) error {
	for _, c := range copies {
		a.image("COPY --from", c.From)
		if c.Download {
			a.t.Errorf("%q downloads %q", a.text, c.Src)
		}
	}
	return nil
}

func (a acts) Run(run imagebuilder.Run, _ docker.Config) error {
	if run.Network != "" && run.Network != "none" && run.Network != "default" {
		a.t.Errorf("%q runs in the network %s", a.text, run.Network)
	}
	for _, mount := range run.Mounts {
		for field := range strings.SplitSeq(mount, ",") { // as Podman's builder does
			switch key, value, _ := strings.Cut(field, "="); key {
			case "type":
				if value != "bind" && value != "tmpfs" {
					a.t.Errorf("%q has the mount %s", a.text, mount)
				}
			case "from":
				a.image("RUN --mount", value)
			}
		}
	}
	return nil
}

func (acts) Preserve(string) error                                    { return nil }
func (acts) EnsureContainerPath(string) error                         { return nil }
func (acts) EnsureContainerPathAs(string, string, *os.FileMode) error { return nil }
func (acts) UnrecognizedInstruction(*imagebuilder.Step) error         { return errors.New("unknown") }
