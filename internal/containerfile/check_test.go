package containerfile

import (
	"os"
	"strings"
	"testing"
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

func FuzzCheck(f *testing.F) {
	f.Add([]byte("FROM a\nRUN --mount=type=bind,\"from=x x\n"))
	f.Add([]byte("ARG\nFROM <<E\nE\n"))
	f.Fuzz(func(_ *testing.T, text []byte) { _ = Check(text) })
}
