package supervise

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEditManifest(t *testing.T) {
	get := Ask{EgressRequest: EgressRequest{Host: "new.example.org", PathAllowlist: []string{"/v1/"}, Methods: []string{"GET"}}}
	const file = `---
# the web bottle
extends: claude   # the base

egress:
  routes:
    # packages
    - host: pypi.org # the index
      path_allowlist: [/simple/]

    - host: api.example.org
      auth:
        scheme: Bearer # never shown
        token_ref: API_KEY
      matches:
        - paths: [{value: /v1/}] # reading
          methods: [GET]
    # the end
supervise: true
---
What it is for.
---
`
	for _, test := range []struct {
		name, file string
		ask        Ask
		tokenRef   string
		old, new   string // what is replaced in the file
		err        string
	}{
		{
			name: "new host", file: file, ask: get,
			old: "          methods: [GET]\n", new: "          methods: [GET]\n    - host: new.example.org\n      matches:\n        - paths:\n            - type: prefix\n              value: /v1/\n          methods:\n            - GET\n",
		},
		{
			name: "new host, everything, port", file: file, ask: Ask{EgressRequest: EgressRequest{Host: "new.example.org"}, Port: 8443},
			old: "          methods: [GET]\n", new: "          methods: [GET]\n    - host: new.example.org:8443\n",
		},
		{
			name: "new credential", file: file, tokenRef: "MY_TOKEN",
			ask: Ask{EgressRequest: EgressRequest{Host: "new.example.org", Auth: &AuthRequest{Scheme: "token", TokenRef: "AGENTS_IDEA"}}},
			old: "          methods: [GET]\n", new: "          methods: [GET]\n    - host: new.example.org\n      auth:\n        scheme: token\n        token_ref: MY_TOKEN\n",
		},
		{
			name: "known host with matches", file: file, ask: Ask{EgressRequest: EgressRequest{Host: "api.example.org", PathAllowlist: []string{"/v2/"}}},
			old: "          methods: [GET]\n", new: "          methods: [GET]\n        - paths:\n            - type: prefix\n              value: /v2/\n",
		},
		{
			name: "known host with path_allowlist", file: file, ask: Ask{EgressRequest: EgressRequest{Host: "pypi.org", PathAllowlist: []string{"/pypi/"}}},
			old: "      path_allowlist: [/simple/]\n", new: "      matches:\n        - paths:\n            - type: regex\n              value: (?s)/simple/.*\n        - paths:\n            - type: prefix\n              value: /pypi/\n",
		},
		{
			name: "known host, everything", file: file, ask: Ask{EgressRequest: EgressRequest{Host: "pypi.org"}},
			old: "      path_allowlist: [/simple/]\n", new: "",
		},
		{
			name: "no egress", file: "---\nenv: {A: b}\n---\ntext\n", ask: get,
			old: "env: {A: b}\n", new: "env: {A: b}\negress:\n  routes:\n    - host: new.example.org\n      matches:\n        - paths:\n            - type: prefix\n              value: /v1/\n          methods:\n            - GET\n",
		},
		{name: "credential without a variable", file: file, ask: Ask{EgressRequest: EgressRequest{Host: "new.example.org", Auth: &AuthRequest{Scheme: "token", TokenRef: "X"}}}, err: "variable"},
		{
			name: "below a wildcard, whose credential it would lose", ask: get, err: "*.Example.org:8443 serves new.example.org",
			file: "---\negress:\n  routes:\n    - host: '*.Example.org:8443'\n      auth: {scheme: Bearer, token_ref: A}\n---\n",
		},
		{
			name: "beside a wildcard", ask: Ask{EgressRequest: EgressRequest{Host: "example.org"}},
			file: "---\negress:\n  routes:\n    - host: '*.example.org'\n---\n",
			old:  "'*.example.org'\n", new: "'*.example.org'\n    - host: example.org\n",
		},
		{name: "flow style", file: "---\negress: {routes: [{host: a.example.org}]}\n---\n", ask: get, err: "by hand"},
		{name: "empty list", file: "---\negress:\n  routes: []\n---\n", ask: get, err: "by hand"},
		{name: "closed below", file: "---\negress:\n  routes:\n    - host: a.example.org\n      path_allowlist: [/a,\n        /b\n      ]\n---\n", ask: get, err: "by hand"},
		{name: "no front matter", file: "text\n", ask: get, err: "front matter"},
		{name: "unclosed", file: "---\na: b\n", ask: get, err: "front matter"},
	} {
		t.Run(test.name, func(t *testing.T) {
			after, err := editManifest([]byte(test.file), test.ask, test.tokenRef, "")
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("error %v, want %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := strings.Replace(test.file, test.old, test.new, 1); string(after) != want {
				t.Errorf("file:\n%s\nwant:\n%s", after, want)
			}
		})
	}
}

func TestManifestPreview(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "dotfiles.md")
	if err := os.WriteFile(target, []byte("---\nsupervise: true\n---\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "web.md")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	ask := Ask{EgressRequest: EgressRequest{Host: "a.example.org"}}
	if _, err := (ManifestFile{Path: link, InheritsFrom: "claude"}).Preview(ask, ""); err == nil || !strings.Contains(err.Error(), "claude") {
		t.Errorf("a bottle that inherits its routes: %v", err)
	}
	right := error(nil)
	change, err := (ManifestFile{Path: link, Check: func() error { return right }}).Preview(ask, "")
	if err != nil || !strings.Contains(change.Diff, "+    - host: a.example.org") {
		t.Fatalf("diff %q, %v", change.Diff, err)
	}
	right = errors.New("not right")
	if err := change.write(); !errors.Is(err, right) {
		t.Errorf("a file that is not right afterwards: %v", err)
	}
	if data, err := os.ReadFile(target); err != nil || string(data) != "---\nsupervise: true\n---\n" {
		t.Errorf("it was not taken back: %q %v", data, err)
	}
	right = nil
	if err := change.write(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v %v", info.Mode(), err)
	}
	if info, err := os.Stat(target); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v %v", info.Mode(), err)
	}
	if err := change.write(); err == nil || !strings.Contains(err.Error(), "changed since") {
		t.Errorf("second write: %v", err)
	}
	if err := change.undo(); err != nil {
		t.Error(err)
	}
}
