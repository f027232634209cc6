package manifest

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	validator "github.com/google/jsonschema-go/jsonschema"
	"github.com/invopop/jsonschema"
	"gopkg.in/yaml.v3"
)

var update = flag.Bool("update", false, "write the schemas into docs/schema")

// The schemas of both files are made from the Go types, their comments and the
// tags; editors use them, podbottle does not.
func TestSchemas(t *testing.T) {
	for name, of := range map[string]any{"bottle": &BottleFile{}, "agent": &AgentFile{}} {
		t.Run(name, func(t *testing.T) {
			got := schema(t, name, of)
			file := filepath.Join("..", "..", "docs", "schema", name+".schema.json")
			if *update {
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s is not current; write it with: go test ./internal/manifest -run TestSchemas -update", file)
			}
		})
	}
}

// The schemas accept what podbottle accepts and refuse what it has no key for.
func TestSchemasValidate(t *testing.T) {
	tests := []struct {
		name, schema, text string
		valid              bool
	}{
		{"every key of a bottle", "bottle", everyKey, true},
		{"one parent", "bottle", "extends: base", true},
		{"empty", "agent", "{}", true},
		{"agent", "agent", "bottle: web\nskills: [a]\nmodel: [1, {x: y}]\ngit: {user: {name: x}}", true},
		{"unknown key", "bottle", "envs: {}", false},
		{"unknown inner key", "bottle", "git-gate: {repos: {r: {url: x, key: {provider: static, path: x, token: x}}}}", false},
		{"wrong scheme", "bottle", "egress: {routes: [{host: h, auth: {scheme: bearer, token_ref: T}}]}", false},
		{"half an auth", "bottle", "egress: {routes: [{host: h, auth: {scheme: Bearer}}]}", false},
		{"remotes of an agent", "agent", "git: {remotes: {}}", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			of := map[string]any{"bottle": &BottleFile{}, "agent": &AgentFile{}}[tt.schema]
			var s validator.Schema
			if err := json.Unmarshal(schema(t, tt.schema, of), &s); err != nil {
				t.Fatal(err)
			}
			resolved, err := s.Resolve(nil)
			if err != nil {
				t.Fatal(err)
			}
			var document map[string]any
			if err := yaml.Unmarshal([]byte(tt.text), &document); err != nil {
				t.Fatal(err)
			}
			if err := resolved.Validate(document); (err == nil) != tt.valid {
				t.Errorf("valid: %v, %v", err == nil, err)
			}
			if !tt.valid {
				return
			}
			d, err := parseDocument("f.md", []byte("---\n"+tt.text+"\n---\n"))
			if err != nil {
				t.Fatal(err)
			}
			if tt.schema == "bottle" {
				_, _, err = parseBottle("b", d)
			} else {
				_, err = parseAgent(d)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}

const everyKey = `
extends: [base, tools]
label: nightly
env: {A: text, B: 8080, C: true, D: "${HOST}", E: "?question"}
agent_provider:
  template: command
  dockerfile: ./Dockerfile
  forward_host_credentials: false
  auth_token: TOKEN
  image: docker.io/library/alpine
  command: [sh, -c, "exec cat"]
git-gate:
  user: {name: A Person, email: a@example.org}
  repos:
    one: {url: "ssh://git@git.example.org/one.git", identity: ~/.ssh/id, refs: [refs/heads/*], allow_force: true, allow_delete: true, lfs: true}
    two: {url: "ssh://git@git.example.org/two.git", key: {provider: static, path: ~/.ssh/id}}
    three: {url: "ssh://git@git.example.org/three.git", ssh_agent: true}
egress:
  routes:
    - host: "*.example.org:8443"
      path_allowlist: [/v1/]
      matches:
        - paths: [{type: exact, value: /a}]
          methods: [GET]
          headers: [{name: X-Team, value: a}]
      auth: {scheme: header, header: x-api-key, token_ref: KEY}
      role: [claude_code_oauth]
      pipelock: {tls_passthrough: true, ssrf_ip_allowlist: [10.0.0.0/8]}
      git: {fetch: true}
      reflection: allow
supervise: true
`

func schema(t *testing.T, name string, of any) []byte {
	t.Helper()
	r := &jsonschema.Reflector{FieldNameTag: "yaml", ExpandedStruct: true, Anonymous: true}
	if err := r.AddGoComments("github.com/podbottle/podbottle/internal/manifest", "./"); err != nil {
		t.Fatal(err)
	}
	r.Mapper = func(of reflect.Type) *jsonschema.Schema { return mapped(r, of) }
	s := r.Reflect(of)
	s.Title = "podbottle " + name
	for _, definition := range s.Definitions {
		unquote(definition)
	}
	unquote(s)
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(data, '\n')
}

// mapped describes the types that are not what Go's kinds say.
func mapped(r *jsonschema.Reflector, of reflect.Type) *jsonschema.Schema {
	text := &jsonschema.Schema{Type: "string"}
	switch of {
	case reflect.TypeFor[Names]():
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{text, {Type: "array", Items: text}}}
	case reflect.TypeFor[Text]():
		return &jsonschema.Schema{Type: "string"}
	case reflect.TypeFor[Ignored]():
		return jsonschema.TrueSchema
	}
	if o, ok := reflect.Zero(of).Interface().(ordered); ok {
		values := &jsonschema.Schema{OneOf: []*jsonschema.Schema{text, {Type: "number"}, {Type: "boolean"}}}
		if o.elem() != reflect.TypeFor[Text]() {
			inline := *r
			inline.DoNotReference = true
			values = inline.ReflectFromType(o.elem())
			values.Version = ""
		}
		return &jsonschema.Schema{Type: "object", AdditionalProperties: values}
	}
	return nil
}

// unquote joins the lines of descriptions and leaves out the names of Go types.
func unquote(s *jsonschema.Schema) {
	s.Description = strings.Join(strings.Fields(s.Description), " ")
	if s.Properties == nil {
		return
	}
	for pair := s.Properties.Oldest(); pair != nil; pair = pair.Next() {
		pair.Value.Description = strings.Join(strings.Fields(pair.Value.Description), " ")
	}
}

// Every key of both files is in docs/manifest.md.
func TestKeysAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/manifest.md")
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	collectKeys(reflect.TypeFor[BottleFile](), keys)
	collectKeys(reflect.TypeFor[AgentFile](), keys)
	for key := range keys {
		if !regexp.MustCompile("(^|[^A-Za-z_-])" + regexp.QuoteMeta(key) + "([^A-Za-z_-]|$)").Match(text) {
			t.Errorf("docs/manifest.md says nothing of %s", key)
		}
	}
	if len(keys) < 40 {
		t.Errorf("only %d keys were found", len(keys))
	}
}

func collectKeys(of reflect.Type, keys map[string]bool) {
	if o, ok := reflect.Zero(of).Interface().(ordered); ok {
		of = o.elem()
	}
	for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct {
		return
	}
	for key, field := range yamlFields(of) {
		keys[key] = true
		collectKeys(field, keys)
	}
}
