package manifest

import (
	"errors"
	"strings"
	"testing"

	"github.com/podbottle/podbottle/internal/egress"
)

// FuzzFrontMatter wants no file to panic, to take long, or to give an error without a file.
func FuzzFrontMatter(f *testing.F) {
	for _, text := range []string{
		"---\n---\n", "---\nenv: {A: 1, B: \"${C}\", D: \"?q\"}\n---\nbody", "---\nextends: [a, b]\nlabel: x\n---",
		"---\negress:\n  routes:\n  - host: '*.example.org:8443'\n    path_allowlist: [/v1/]\n    auth: {scheme: header, header: X, token_ref: T}\n    matches: [{paths: [{value: /a}], methods: [get]}]\n---\n",
		"---\ngit: {user: {name: a}, remotes: {h: {Name: r, Upstream: 'ssh://git@h/r', IdentityFile: k}}}\n---\n",
		"---\ngit-gate: {repos: {r: {url: 'ssh://git@h/r', ssh_agent: true, refs: ['refs/heads/*']}}}\n---\n",
		"---\nagent_provider: {template: command, image: x, command: [a]}\nsupervise: true\n---\n",
		"---\na: &a [*a, *a]\n---\n", "---\n? [a]\n: b\n---\n", "---\n!!map {a: b}\n---\n", "---\n%YAML 1.1\n---\n", "\ufeff---\r\nbottle: web\r\n---\r\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := parseDocument("f.md", data)
		if err != nil {
			wantPosition(t, err)
			return
		}
		if _, _, err := parseBottle("b", d); err != nil {
			wantPosition(t, err)
		}
		if _, err := parseAgent(d); err != nil {
			wantPosition(t, err)
		}
	})
}

func wantPosition(t *testing.T, err error) {
	t.Helper()
	var fault *Error
	if !errors.As(err, &fault) || fault.File == "" {
		t.Errorf("an error without a file: %v", err)
	}
	if strings.ContainsAny(err.Error(), "\x00\x1b\n\r") {
		t.Errorf("an error with control characters: %q", err)
	}
}

// FuzzHost wants what ParseHost gives to be stable and to be a plain ASCII name.
func FuzzHost(f *testing.F) {
	for _, s := range []string{
		"api.example.org", "*.Example.org.:8443", "Bücher.example", "xn--bcher-kva.example", "127.0.0.1", "0x7f.1", "a..b", "a.example.org\x00",
		"ａ．example", "[::1]:80", "*.*", "localhost:65535", "a\u200d.example", "١.example",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		host, port, err := ParseHost(s)
		if err != nil {
			return
		}
		again, _, err := ParseHost(host)
		if err != nil || again != host {
			t.Errorf("%q gives %q, which gives %q, %v", s, host, again, err)
		}
		name := strings.TrimPrefix(host, "*.")
		if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789.-_") != "" || len(name) > 253 || port < 0 || port > 65535 || port == 443 {
			t.Errorf("%q gives %q, %d", s, host, port)
		}
		if err := egress.CheckRoutes([]egress.Route{{Host: host, Port: port}}); err != nil && name != egress.IntrospectionHost {
			t.Errorf("%q gives %q, which egress refuses: %v", s, host, err)
		}
	})
}

// FuzzEnv wants a value to be exactly one of the three kinds, and no value of a host variable to be taken from a part.
func FuzzEnv(f *testing.F) {
	for _, s := range []string{"", "?", "?q", "${A}", "x${A}", "${A}}", "${A\n}", "${é}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v := ParseEnv("N", s)
		back := map[EnvKind]string{EnvLiteral: v.Value, EnvHost: "${" + v.Value + "}", EnvPrompt: "?" + v.Value}[v.Kind]
		if back != s {
			t.Errorf("%q gives %+v", s, v)
		}
		if v.Kind == EnvHost && !ValidVariable(v.Value) {
			t.Errorf("%q names the variable %q", s, v.Value)
		}
	})
}

// FuzzGitURL wants no part of an accepted URL to be able to become an option, another line or another path.
func FuzzGitURL(f *testing.F) {
	for _, s := range []string{
		"ssh://git@h.example.org/team/r.git", "ssh://git@h:2222/r", "ssh://git@[::1]/r", "ssh://-o@h/r", "ssh://git@-o/r", "git@h:r", "ssh://git@h/%2e%2e/r",
		"ssh://git@h/r%00", "ssh://git@h%0a/r", "ext::sh", "ssh://git@h/~u/r",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseGitURL(s)
		if err != nil {
			return
		}
		for _, part := range []string{u.User, u.Host} {
			if part == "" || part[0] == '-' || strings.ContainsAny(part, " /\\@'\"$`\x00\r\n") {
				t.Errorf("%q gives %+v", s, u)
			}
		}
		if !strings.HasPrefix(u.Path, "/") || strings.HasPrefix(u.Path, "/-") || strings.Contains("/"+u.Path+"/", "/../") || strings.ContainsAny(u.Path, "\x00\r\n\x1b") {
			t.Errorf("%q gives %+v", s, u)
		}
		if u.Port < 1 || u.Port > 65535 || u.Raw != s {
			t.Errorf("%q gives %+v", s, u)
		}
	})
}
