package manifest

import (
	"strings"
	"testing"
)

// Each front matter is refused with exactly this message, which begins with the line.
func TestBottleErrors(t *testing.T) {
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"
	tests := []struct{ name, text, want string }{
		{"no front matter", "text\n", `f.md:1: the file must begin with front matter: a line ---, the keys, a line ---`},
		{"no end", "---\nenv: {}\n", `f.md:1: the front matter has no closing line ---`},
		{"syntax", "---\nenv: [\n---\n", `f.md:3: not valid YAML: did not find expected node content`},
		{"syntax in a list", "---\nlabel: x\nextends: [a b: c\n---\n", `f.md:3: not valid YAML: did not find expected ',' or ']'`},
		{"two documents", "---\nenv: {}\n--- x\n---\n", `f.md:3: the front matter holds more than one YAML document`},
		{"not UTF-8", "---\nlabel: \xff\n---\n", `f.md: is not UTF-8 text`},
		{"not a mapping", "---\n- a\n---\n", `f.md:2: the front matter must be keys with values, such as "bottle: web"`},
		{"anchor", "---\nenv: &a {}\n---\n", `f.md:2: anchors and aliases are not allowed; write the value out`},
		{"alias", "---\nlabel: &a x\nextends: *a\n---\n", `f.md:2: anchors and aliases are not allowed; write the value out`},
		{"tag", "---\nlabel: !!str x\n---\n", `f.md:2: the tag !!str is not allowed; remove it`},
		{"own tag", "---\nlabel: !boss x\n---\n", `f.md:2: the tag !boss is not allowed; remove it`},
		{"doubled key", "---\nenv: {}\nsupervise: true\nenv: {}\n---\n", `f.md:4: the key "env" is already in line 2`},
		{"doubled inner key", "---\nenv:\n  A: 1\n  A: 2\n---\n", `f.md:4: the key "A" is already in line 3`},
		{"merge key", "---\nenv:\n  <<: {A: 1}\n---\n", `f.md:3: env.<< must be a text; an empty one is written ""`},
		{"complex key", "---\nenv:\n  [a]: 1\n---\n", `f.md:3: a key of env is not a text`},
		{"unknown key", "---\nenvs: {}\n---\n", `f.md:2: unknown key "envs": did you mean "env"? Known are: agent_provider, egress, env, extends, git, git-gate, label, supervise`},
		{"unknown far key", "---\nzzzzzzzz: {}\n---\n", `f.md:2: unknown key "zzzzzzzz"; known are: agent_provider, egress, env, extends, git, git-gate, label, supervise`},
		{"unknown inner key", "---\negress:\n  routes:\n  - host: a.example.org\n    path_allow_list: []\n---\n", `f.md:5: unknown key "path_allow_list" in egress.routes[0]: did you mean "path_allowlist"? Known are: auth, git, host, matches, path_allowlist, pipelock, reflection, role`},
		{"hidden characters", "---\n\"a\\x1b[2J\\u202e\": 1\n---\n", `f.md:2: unknown key "a\x1b[2J\u202e"; known are: agent_provider, egress, env, extends, git, git-gate, label, supervise`},
		{"runtime", "---\nruntime: runsc\n---\n", `f.md:2: the key "runtime" is not allowed: gVisor is used wherever the host has it; require it with --require-runsc`},
		{"tokens", "---\ntokens: {}\n---\n", `f.md:2: the key "tokens" is not allowed: give the route in egress.routes an auth with scheme and token_ref`},
		{"ssh", "---\nssh: {}\n---\n", `f.md:2: the key "ssh" is not allowed: declare the remote under git.remotes; its key goes there as IdentityFile`},
		{"cred_proxy", "---\ncred_proxy: {}\n---\n", `f.md:2: the key "cred_proxy" is not allowed: declare the host in egress.routes, with auth where it needs a credential`},
		{"egress_proxy", "---\negress_proxy: {}\n---\n", `f.md:2: the key "egress_proxy" is not allowed: it is called egress`},
		{"git_user", "---\ngit_user: {}\n---\n", `f.md:2: the key "git_user" is not allowed: move it under git.user`},
		{"provider settings", "---\nagent_provider: {settings: {}}\n---\n", `f.md:2: the key "settings" is not allowed: put settings into the image, or use the template command with arguments`},
		{"dlp", "---\negress: {routes: [{host: a.example.org, dlp: {}}]}\n---\n", `f.md:2: the key "dlp" is not allowed: pipelock scans; exempt a host with pipelock.tls_passthrough`},

		{"label", "---\nlabel: \"a\\u202eb\"\n---\n", `f.md:2: label must be at most 64 bytes that can be printed`},
		{"supervise text", "---\nsupervise: \"yes\"\n---\n", `f.md:2: supervise must be true or false`},
		{"supervise empty", "---\nsupervise:\n---\n", `f.md:2: supervise must be true or false`},
		{"env list", "---\nenv: [A]\n---\n", `f.md:2: env must be names with values`},
		{"env empty value", "---\nenv:\n  A:\n---\n", `f.md:3: env.A must be a text; an empty one is written ""`},
		{"env name", "---\nenv:\n  1A: x\n---\n", `f.md:3: env: "1A" cannot be the name of a variable`},
		{"env NUL", "---\nenv: {A: \"x\\0y\"}\n---\n", `f.md:2: env.A: a variable cannot hold a NUL`},
		{"extends map", "---\nextends: {a: b}\n---\n", `f.md:2: extends must be a text; put it in quotes if it looks like a number`},
		{"extends list item", "---\nextends: [a, 1]\n---\n", `f.md:2: extends[1] must be a text; put it in quotes if it looks like a number`},

		{"provider scalar", "---\nagent_provider: claude\n---\n", `f.md:2: agent_provider must be keys with values`},
		{"forward text", "---\nagent_provider: {forward_host_credentials: 1}\n---\n", `f.md:2: agent_provider.forward_host_credentials must be true or false`},
		{"token instead of name", "---\nagent_provider: {auth_token: sk-ant-123}\n---\n", `f.md:2: agent_provider.auth_token must be the name of a variable of the host, not a credential`},
		{"image option", "---\nagent_provider: {image: --privileged}\n---\n", `f.md:2: agent_provider.image cannot be the name of an image`},
		{"dockerfile newline", "---\nagent_provider: {dockerfile: \"a\\nb\"}\n---\n", `f.md:2: agent_provider.dockerfile holds a character that a path cannot have`},
		{"command number", "---\nagent_provider: {command: [sh, 1]}\n---\n", `f.md:2: agent_provider.command[1] must be a text; put it in quotes if it looks like a number`},
		{"command empty", "---\nagent_provider: {command: [\"\"]}\n---\n", `f.md:2: agent_provider.command[0] cannot be an argument`},

		{"host missing", route(`path_allowlist: [/]`), `f.md:4: egress.routes[0]: the host is empty (it is "")`},
		{"host URL", route(`host: https://a.example.org/`), `f.md:4: egress.routes[0]: the host must be a name without scheme, user or path, such as api.example.org (it is "https://a.example.org/")`},
		{"routes map", "---\negress: {routes: {a: b}}\n---\n", `f.md:2: egress.routes must be a list`},
		{"routes null item", "---\negress: {routes: [~]}\n---\n", `f.md:2: egress.routes[0] is empty`},
		{"host twice", "---\negress:\n  routes:\n  - host: a.example.org\n  - host: A.example.org.:8443\n---\n", `f.md:5: egress.routes[1]: host a.example.org is already at f.md:4; join the two routes`},
		{"path text", route("host: a.example.org\n    path_allowlist: /v1"), `f.md:5: egress.routes[0].path_allowlist must be a list`},
		{"path relative", route("host: a.example.org\n    path_allowlist: [v1]"), `f.md:5: egress.routes[0]: path_allowlist: "v1" must begin with /`},
		{"path query", route("host: a.example.org\n    path_allowlist: ['/v1?x']"), `f.md:5: egress.routes[0]: path_allowlist: "/v1?x" is more than a path: queries are not compared`},
		{"path encoded", route("host: a.example.org\n    path_allowlist: [/a%2fb]"), `f.md:5: egress.routes[0]: path_allowlist: "/a%2fb" is compared with the decoded path; write the character itself`},
		{"path dots", route("host: a.example.org\n    path_allowlist: [/a/../b]"), `f.md:5: egress.routes[0]: path_allowlist: "/a/../b" has empty or dot segments; write "/b"`},
		{"path backslash", route("host: a.example.org\n    path_allowlist: ['/a\\b']"), `f.md:5: egress.routes[0]: path_allowlist: "/a\\b" holds a character that no path can match`},
		{"auth empty", route("host: a.example.org\n    auth: {}"), `f.md:5: egress.routes[0]: auth is empty; give scheme and token_ref, or leave auth out`},
		{"auth null", route("host: a.example.org\n    auth:"), `f.md:5: egress.routes[0]: auth is empty; give scheme and token_ref, or leave auth out`},
		{"auth only scheme", route("host: a.example.org\n    auth: {scheme: Bearer}"), `f.md:5: egress.routes[0]: auth has no token_ref; it names the variable of the host that holds the credential`},
		{"auth only token", route("host: a.example.org\n    auth: {token_ref: A}"), `f.md:5: egress.routes[0]: auth has no scheme; it is Bearer, token, basic or header`},
		{"auth scheme", route("host: a.example.org\n    auth: {scheme: bearer, token_ref: A}"), `f.md:5: egress.routes[0]: auth.scheme is "bearer"; it is Bearer, token, basic or header`},
		{"auth token", route("host: a.example.org\n    auth: {scheme: Bearer, token_ref: ghp-1}"), `f.md:5: egress.routes[0]: auth.token_ref must be the name of a variable of the host, not a credential`},
		{"auth header missing", route("host: a.example.org\n    auth: {scheme: header, token_ref: A}"), `f.md:5: egress.routes[0]: auth.scheme is header, so auth.header must name the header`},
		{"auth header extra", route("host: a.example.org\n    auth: {scheme: Bearer, token_ref: A, header: X}"), `f.md:5: egress.routes[0]: auth.header goes only with scheme: header`},
		{"auth header bad", route("host: a.example.org\n    auth: {scheme: header, token_ref: A, header: \"a b\"}"), `f.md:5: egress.routes[0]: auth.header is "a b", which is not a header that can carry a credential`},
		{"auth header host", route("host: a.example.org\n    auth: {scheme: header, token_ref: A, header: host}"), `f.md:5: egress.routes[0]: auth.header is "host", which is not a header that can carry a credential`},
		{"reflection", route("host: a.example.org\n    reflection: yes"), `f.md:5: egress.routes[0]: reflection is "yes"; it is redact (the default) or allow`},
		{"cidr", route("host: a.example.org\n    pipelock: {ssrf_ip_allowlist: [10.0.0.0/33]}"), `f.md:5: egress.routes[0]: pipelock.ssrf_ip_allowlist: "10.0.0.0/33" is not an address range such as 100.64.0.0/10`},
		{"cidr host bits", route("host: a.example.org\n    pipelock: {ssrf_ip_allowlist: [10.0.0.1/8]}"), `f.md:5: egress.routes[0]: pipelock.ssrf_ip_allowlist: "10.0.0.1/8" has bits set outside of its prefix; write 10.0.0.0/8`},
		{"cidr all", route("host: a.example.org\n    pipelock: {ssrf_ip_allowlist: [0.0.0.0/0]}"), `f.md:5: egress.routes[0]: pipelock.ssrf_ip_allowlist: "0.0.0.0/0" is every address there is; name the range`},
		{"match empty", route("host: a.example.org\n    matches: [{}]"), `f.md:5: egress.routes[0]: matches[0] has no condition; give paths, methods or headers`},
		{"match type", route("host: a.example.org\n    matches: [{paths: [{type: glob, value: /a}]}]"), `f.md:5: egress.routes[0]: matches[0].paths: type is "glob"; it is prefix, exact or regex`},
		{"match regex", route("host: a.example.org\n    matches: [{paths: [{type: regex, value: '('}]}]"), `f.md:5: egress.routes[0]: matches[0].paths: "(" is not a regular expression in the syntax of RE2`},
		{"match method", route("host: a.example.org\n    matches: [{methods: ['a b']}]"), `f.md:5: egress.routes[0]: matches[0].methods: "a b" is not a method`},
		{"match header", route("host: a.example.org\n    matches: [{headers: [{name: 'a b', value: x}]}]"), `f.md:5: egress.routes[0]: matches[0].headers: "a b": "x" is not a header`},

		{"both git keys", "---\ngit: {}\ngit-gate: {}\n---\n", `f.md:3: git and git-gate are two ways to write the same; keep one`},
		{"git list", "---\ngit: []\n---\n", `f.md:2: git must be keys with values`},
		{"git user empty", "---\ngit: {user: {}}\n---\n", `f.md:2: git.user is empty; give name or email, or leave it out`},
		{"git user null", "---\ngit-gate: {user: }\n---\n", `f.md:2: git-gate.user is empty; give name or email, or leave it out`},
		{"git user key", "---\ngit: {user: {mame: x}}\n---\n", `f.md:2: unknown key "mame" in git.user: did you mean "name"? Known are: email, name`},
		{"git user number", "---\ngit: {user: {name: 1}}\n---\n", `f.md:2: git.user.name must be a text; put it in quotes if it looks like a number`},
		{"git user newline", "---\ngit: {user: {name: \"a\\nb\"}}\n---\n", `f.md:2: git.user holds a character that git refuses`},
		{"repo name", repo(`url: "ssh://git@h.example.org/r", ssh_agent: true`, "-x"), `f.md:4: git-gate.repos.-x: "-x" cannot be the name of a repository: letters, digits, dots, dashes and underscores are allowed, .git is left out`},
		{"repo name git", repo(`url: "ssh://git@h.example.org/r", ssh_agent: true`, "r.git"), `f.md:4: git-gate.repos.r.git: "r.git" cannot be the name of a repository: letters, digits, dots, dashes and underscores are allowed, .git is left out`},
		{"repo no key", repo(`url: "ssh://git@h.example.org/r"`, "r"), `f.md:4: git-gate.repos.r: no key is named; give the path of a private key of the host`},
		{"repo two keys", repo(`url: "ssh://git@h.example.org/r", ssh_agent: true, identity: a`, "r"), `f.md:4: git-gate.repos.r has a key file and ssh_agent; keep one`},
		{"repo identity and key", repo(`url: "ssh://git@h.example.org/r", identity: a, key: {provider: static, path: b}`, "r"), `f.md:4: git-gate.repos.r has identity and key; they mean the same, keep one`},
		{"repo gitea", repo(`url: "ssh://git@h.example.org/r", key: {provider: gitea, path: b}`, "r"), `f.md:4: git-gate.repos.r.key.provider is "gitea"; only static is supported, with a path`},
		{"repo provisioner", repo(`url: "ssh://git@h.example.org/r", key: {provisioner_token: b}`, "r"), `f.md:4: the key "provisioner_token" is not allowed: deploy keys are not made by podbottle; use provider: static with a path`},
		{"repo refs", repo(`url: "ssh://git@h.example.org/r", ssh_agent: true, refs: [main]`, "r"), `f.md:4: git-gate.repos.r: refs must begin with refs/ and hold at most one *`},
		{"repo url", repo(`url: "https://h.example.org/r", ssh_agent: true`, "r"), `f.md:4: git-gate.repos.r.url: it must be an ssh:// URL, such as ssh://git@git.example.org/team/repo.git`},
		{"repo scp", repo(`url: "git@h.example.org:team/r.git", ssh_agent: true`, "r"), `f.md:4: git-gate.repos.r.url: it must be an ssh:// URL; write ssh://git@h.example.org/team/r.git`},
		{"host key type", repo(`url: "ssh://git@h.example.org/r", ssh_agent: true, host_key: "ssh-rsa `+key[12:]+`"`, "r"), `f.md:4: git-gate.repos.r.host_key is not a public key of the form "ssh-ed25519 AAAA…", as ssh-keyscan prints after the host`},
		{"remotes name twice", "---\ngit:\n  remotes:\n    a: {Name: r, Upstream: \"ssh://git@a/r\", IdentityFile: k}\n    b: {Name: r, Upstream: \"ssh://git@b/r\", IdentityFile: k}\n---\n", `f.md:5: git.remotes.b: the name "r" is already at f.md:4`},
		{"remote key", "---\ngit:\n  remotes:\n    a: {name: r}\n---\n", `f.md:4: unknown key "name" in git.remotes.a: did you mean "Name"? Known are: IdentityFile, KnownHostKey, Name, Upstream`},
		{"remote host key", "---\ngit:\n  remotes:\n    a: {Name: r, Upstream: \"ssh://git@a/r\", IdentityFile: k, KnownHostKey: x}\n---\n", `f.md:4: git.remotes.a.KnownHostKey is not a public key of the form "ssh-ed25519 AAAA…", as ssh-keyscan prints after the host`},
		{"remote host", "---\ngit:\n  remotes:\n    \"-o\": {Name: r, Upstream: \"ssh://git@a/r\", IdentityFile: k}\n---\n", `f.md:4: git.remotes: "-o" is not a host`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := parseDocument("f.md", []byte(tt.text))
			if err == nil {
				_, _, err = parseBottle("b", d)
			}
			if err == nil {
				t.Fatalf("accepted; want %s", tt.want)
			}
			if err.Error() != tt.want {
				t.Errorf("got  %s\nwant %s", err, tt.want)
			}
		})
	}
}

func route(keys string) string { return "---\negress:\n  routes:\n  - " + keys + "\n---\n" }

func repo(keys, name string) string {
	return "---\ngit-gate:\n  repos:\n    " + name + ": {" + keys + "}\n---\n"
}

func TestAgentErrors(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"bottle name", "---\nbottle: Web\n---\n", `f.md:2: bottle: "Web" cannot be the name of a bottle: lower-case letters, digits and dashes`},
		{"bottle list", "---\nbottle: [web]\n---\n", `f.md:2: bottle must be a text; put it in quotes if it looks like a number`},
		{"skill path", "---\nskills: [../../.ssh]\n---\n", `f.md:2: skills: "../../.ssh" cannot be the name of a skill: lower-case letters, digits and dashes`},
		{"skill text", "---\nskills: a\n---\n", `f.md:2: skills must be a list`},
		{"remotes", "---\ngit:\n  remotes: {}\n---\n", `f.md:3: the key "remotes" is not allowed: an agent may be a repository's; remotes and their keys are declared in the bottle`},
		{"repos", "---\ngit-gate:\n  repos: {}\n---\n", `f.md:3: the key "repos" is not allowed: an agent may be a repository's; remotes and their keys are declared in the bottle`},
		{"egress", "---\negress: {}\n---\n", `f.md:2: unknown key "egress"; known are: bottle, color, description, git, git-gate, label, memory, model, name, skills`},
		{"env", "---\nenv: {}\n---\n", `f.md:2: unknown key "env"; known are: bottle, color, description, git, git-gate, label, memory, model, name, skills`},
		{"prompt key", "---\nprompt: x\n---\n", `f.md:2: the key "prompt" is not allowed: write the prompt below the front matter`},
		{"git_user", "---\ngit_user: x\n---\n", `f.md:2: the key "git_user" is not allowed: move it under git.user`},
		{"both git keys", "---\ngit: {}\ngit-gate: {}\n---\n", `f.md:3: git and git-gate are two ways to write the same; keep one`},
		{"user empty", "---\ngit: {user: {name: \"\"}}\n---\n", `f.md:2: git.user is empty; give name or email, or leave it out`},
		{"label", "---\nlabel: " + strings.Repeat("x", 65) + "\n---\n", `f.md:2: label must be at most 64 bytes that can be printed`},
		{"NUL", "---\n---\na\x00b", `f.md: the prompt holds a NUL`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := parseDocument("f.md", []byte(tt.text))
			if err == nil {
				_, err = parseAgent(d)
			}
			if err == nil || err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestParseDocument(t *testing.T) {
	tests := []struct{ name, text, body string }{
		{"empty front matter", "---\n---\nBody.\n", "Body."},
		{"byte order mark and CRLF", "\ufeff---\r\nlabel: x\r\n---\r\nBody.\r\n", "Body."},
		{"only comments", "---\n# nothing\n---\n\n  Body.  \n", "Body."},
		{"null", "---\n~\n---\n", ""},
		{"fence in the body", "---\n---\na\n---\nb", "a\n---\nb"},
		{"no final newline", "---\n---", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := parseDocument("f.md", []byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			if d.body != tt.body {
				t.Errorf("body %q, want %q", d.body, tt.body)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"file":           {"---\n---\n" + strings.Repeat("x", maxFile), "f.md: is larger than 1024 KiB"},
		"front matter":   {"---\n# " + strings.Repeat("x", maxFrontMatter) + "\n---\n", "f.md: the front matter is larger than 64 KiB or has no closing line ---"},
		"nesting":        {"---\nenv: " + strings.Repeat("[", 60000) + "\n---\n", "f.md:2: not valid YAML: exceeded max depth of 10000"},
		"no fence, long": {"---\n" + strings.Repeat("x", maxFrontMatter+1), "f.md: the front matter is larger than 64 KiB or has no closing line ---"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := parseDocument("f.md", []byte(tt.text))
			if err == nil || err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestParseHost(t *testing.T) {
	tests := []struct {
		in, host string
		port     int
		err      string
	}{
		{in: "api.example.org", host: "api.example.org"},
		{in: "API.Example.ORG.", host: "api.example.org"},
		{in: "localhost", host: "localhost"},
		{in: "a.example.org:443", host: "a.example.org"},
		{in: "a.example.org:80", host: "a.example.org"},
		{in: "a.example.org:8443", host: "a.example.org", port: 8443},
		{in: "*.example.org", host: "*.example.org"},
		{in: "*.Bücher.example:81", host: "*.xn--bcher-kva.example", port: 81},
		{in: "faß.example", host: "xn--fa-hia.example"},
		{in: "ＡＰＩ．example．org", host: "api.example.org"},
		{in: "xn--bcher-kva.example", host: "xn--bcher-kva.example"},
		{in: "", err: "the host is empty"},
		{in: ".", err: "the host has an empty label"},
		{in: "a..b", err: "the host has an empty label"},
		{in: "a.example.org..", err: "the host has an empty label"},
		{in: "a.example.org.．", err: "the host has an empty label"},
		{in: "under_score.example.org", host: "under_score.example.org"},
		{in: "-a.example.org", host: "-a.example.org"},
		{in: "xn--a.example", err: "the host is no valid internationalised name: idna: invalid label \"\\u0080\""},
		{in: "a\x00.example.org", err: `the host holds the character '\x00'`},
		{in: "a b.example.org", err: `the host holds the character ' '`},
		{in: strings.Repeat("a", 64) + ".org", err: "a label of the host is longer than 63 characters"},
		{in: "a\x84.example", err: "the host is not UTF-8 text"},
		{in: "127.0.0.1", err: "an IP address is not a host name"},
		{in: "0x7f.1", err: "an IP address is not a host name"},
		{in: "2130706433", err: "an IP address is not a host name"},
		{in: "a.0x7f", err: "an IP address is not a host name"},
		{in: "[::1]", err: "an IP address is not a host name"},
		{in: "::1", err: "an IP address is not a host name"},
		{in: "*", err: "the host may have a wildcard only as its whole first label, such as *.example.org"},
		{in: "*.org", err: "the host has a wildcard for a whole top-level domain; name two labels or more, such as *.example.org"},
		{in: "a*.example.org", err: "the host may have a wildcard only as its whole first label, such as *.example.org"},
		{in: "*.*.example.org", err: "the host may have a wildcard only as its whole first label, such as *.example.org"},
		{in: "a.example.org:0", err: "the host has a port that is not a number from 1 to 65535"},
		{in: "a.example.org:65536", err: "the host has a port that is not a number from 1 to 65535"},
		{in: "a.example.org:+1", err: "the host has a port that is not a number from 1 to 65535"},
		{in: "a.example.org:", err: "the host has a port that is not a number from 1 to 65535"},
		{in: "user@a.example.org", err: "the host must be a name without scheme, user or path, such as api.example.org"},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			host, port, err := ParseHost(tt.in)
			if tt.err != "" {
				if err == nil || err.Error() != tt.err {
					t.Errorf("got %q, %v; want the error %q", host, err, tt.err)
				}
				return
			}
			if err != nil || host != tt.host || port != tt.port {
				t.Errorf("got %q, %d, %v; want %q, %d", host, port, err, tt.host, tt.port)
			}
		})
	}
}

func TestParseEnv(t *testing.T) {
	tests := []struct {
		value string
		kind  EnvKind
		want  string
	}{
		{"plain", EnvLiteral, "plain"},
		{"", EnvLiteral, ""},
		{"${HOME}", EnvHost, "HOME"},
		{"${_a1}", EnvHost, "_a1"},
		{"x${HOME}", EnvLiteral, "x${HOME}"},
		{"${HOME}x", EnvLiteral, "${HOME}x"},
		{"${}", EnvLiteral, "${}"},
		{"${1A}", EnvLiteral, "${1A}"},
		{"${A}\n", EnvLiteral, "${A}\n"},
		{"$HOME", EnvLiteral, "$HOME"},
		{"?", EnvPrompt, ""},
		{"?your password", EnvPrompt, "your password"},
		{"?${A}", EnvPrompt, "${A}"},
		{" ?", EnvLiteral, " ?"},
	}
	for _, tt := range tests {
		if got := ParseEnv("N", tt.value); got != (EnvVar{Name: "N", Kind: tt.kind, Value: tt.want}) {
			t.Errorf("%q: got %+v", tt.value, got)
		}
	}
}

func TestParseGitURL(t *testing.T) {
	tests := []struct {
		in   string
		want GitURL
		err  string
	}{
		{in: "ssh://git@Git.example.org/team/r.git", want: GitURL{User: "git", Host: "git.example.org", Port: 22, Path: "/team/r.git"}},
		{in: "ssh://git@[::1]:2222/r", want: GitURL{User: "git", Host: "::1", Port: 2222, Path: "/r"}},
		{in: "ssh://me@10.0.0.7/~me/r%20x", want: GitURL{User: "me", Host: "10.0.0.7", Port: 22, Path: "/~me/r x"}},
		{in: "ssh://git.example.org/r", err: "it names no user; most hosts want ssh://git@…"},
		{in: "ssh://git@/r", err: "it names no host"},
		{in: "ssh://git@h/", err: "it names no repository"},
		{in: "ssh://git@h", err: "it names no repository"},
		{in: "ssh://git:pw@h/r", err: "it must have no password, query or fragment"},
		{in: "ssh://git@h/r?x", err: "it must have no password, query or fragment"},
		{in: "ssh://git@h/r#x", err: "it must have no password, query or fragment"},
		{in: "ssh://git@h:0/r", err: "its port is not a number from 1 to 65535"},
		{in: "ssh://git@h:99999/r", err: "its port is not a number from 1 to 65535"},
		{in: "ssh://git@-oProxyCommand=x/r", err: "its user, host or path holds a character that cannot be passed on safely"},
		{in: "ssh://-l@h/r", err: "its user, host or path holds a character that cannot be passed on safely"},
		{in: "ssh://git@h/-r", err: "its user, host or path holds a character that cannot be passed on safely"},
		{in: "ssh://git@h/a%0ab", err: "its user, host or path holds a character that cannot be passed on safely"},
		{in: "ssh://git@h/a/../../b", err: "its path goes up with ..; write the path it leads to"},
		{in: "ssh://git@h/a%2f..%2fb", err: "its path goes up with ..; write the path it leads to"},
		{in: "ssh://git@h\n/r", err: "it is not a valid URL"},
		{in: "file:///etc", err: "it must be an ssh:// URL, such as ssh://git@git.example.org/team/repo.git"},
		{in: "ext::sh -c x", err: "it must be an ssh:// URL, such as ssh://git@git.example.org/team/repo.git"},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			got, err := ParseGitURL(tt.in)
			if tt.err != "" {
				if err == nil || err.Error() != tt.err {
					t.Errorf("got %+v, %v; want the error %q", got, err, tt.err)
				}
				return
			}
			tt.want.Raw = tt.in
			if err != nil || got != tt.want {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}
