package gitgate

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestConfigFiles(t *testing.T) {
	plan := Plan{Slug: "demo-abc12", Upstreams: []Upstream{
		{Name: "App", URL: "ssh://git@h/team/app.git", User: "git", Host: "h", Port: 22, Path: "/team/app.git", IdentityFile: "/home/u/.ssh/key", KnownHostKey: "ssh-ed25519 AAAA"},
		{Name: "lib", User: "git", Host: "h", Port: 2222, Path: "/lib", SSHAgent: true, Refs: []string{"refs/heads/x/*"}, AllowForce: true, AllowDelete: true, LFS: true},
		{Name: "doc", User: "git", Host: "h", Port: 22, Path: "/doc", KnownHostKey: "ssh-rsa BBBB"},
	}}
	files, err := plan.ConfigFiles()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(files[KnownHostsFile]), "upstream-0 ssh-ed25519 AAAA\nupstream-2 ssh-rsa BBBB\n"; got != want {
		t.Errorf("known_hosts = %q, want %q", got, want)
	}
	if strings.Contains(string(files[ConfigFile]), "/home/u") {
		t.Error("a path of the host is in the sidecar's configuration")
	}
	got, err := ParseConfig(files[ConfigFile])
	if err != nil {
		t.Fatal(err)
	}
	want := Config{Limits: DefaultLimits(), Repositories: []Repository{
		{Name: "App", User: "git", Host: "h", Port: 22, Path: "/team/app.git", HostKeyAlias: "upstream-0"},
		{Name: "lib", User: "git", Host: "h", Port: 2222, Path: "/lib", SSHAgent: true, Refs: []string{"refs/heads/x/*"}, AllowForce: true, AllowDelete: true, LFS: true},
		{Name: "doc", User: "git", Host: "h", Port: 22, Path: "/doc", HostKeyAlias: "upstream-2"},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("parsed configuration (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"lib"}, plan.Unpinned()); diff != "" {
		t.Error(diff)
	}
	args := plan.Args(netip.MustParseAddr("10.89.0.2"))
	if diff := cmp.Diff([]string{"git-gate", "--slug", "demo-abc12", "--listen", "10.89.0.2:9418"}, args); diff != "" {
		t.Error(diff)
	}
}

func TestParseConfigRefuses(t *testing.T) {
	base := Repository{Name: "r", User: "git", Host: "h", Port: 22, Path: "/r.git"}
	tests := map[string]func(*Repository){
		"name is an option":    func(r *Repository) { r.Name = "-r" },
		"name goes up":         func(r *Repository) { r.Name = ".." },
		"name with slash":      func(r *Repository) { r.Name = "a/b" },
		"user is an option":    func(r *Repository) { r.User = "-oProxyCommand=x" },
		"host is an option":    func(r *Repository) { r.Host = "-oProxyCommand=x" },
		"host with shell":      func(r *Repository) { r.Host = "h;id" },
		"host with percent":    func(r *Repository) { r.Host = "%r" },
		"port":                 func(r *Repository) { r.Port = 0 },
		"path is an option":    func(r *Repository) { r.Path = "/-x" },
		"path goes up":         func(r *Repository) { r.Path = "/a/../b" },
		"path with a new line": func(r *Repository) { r.Path = "/a\nb" },
		"path not absolute":    func(r *Repository) { r.Path = "a" },
		"alias":                func(r *Repository) { r.HostKeyAlias = "a b" },
		"refs outside":         func(r *Repository) { r.Refs = []string{"heads/*"} },
		"two stars":            func(r *Repository) { r.Refs = []string{"refs/*/*"} },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			r := base
			spoil(&r)
			if _, err := (Config{Repositories: []Repository{r}, Limits: DefaultLimits()}).Marshal(); err == nil {
				t.Error("accepted")
			}
		})
	}
	for name, text := range map[string]string{
		"unknown key": "repositories: []\nlimits: {pack_bytes: 1, objects: 1, refs: 1}\nmore: 1\n",
		"no limits":   "repositories: []\n",
		"twice":       "repositories: [{name: r, user: g, host: h, port: 1, path: /r}, {name: r, user: g, host: h, port: 1, path: /s}]\nlimits: {pack_bytes: 1, objects: 1, refs: 1}\n",
		"no YAML":     "\x00",
	} {
		if _, err := ParseConfig([]byte(text)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestAllows(t *testing.T) {
	custom := []string{"refs/heads/agent/*", "refs/tags/v1", "refs/heads/*-wip"}
	tests := []struct {
		patterns []string
		ref      string
		want     bool
	}{
		{nil, "refs/heads/main", true},
		{nil, "refs/heads/a/b", true},
		{nil, "refs/tags/v1", true},
		{nil, "refs/notes/commits", true},
		{nil, "refs/for/main", true},
		{nil, "refs/replace/0123", false},
		{nil, "refs/pull/1/head", false},
		{nil, "refs/heads/", false},
		{nil, "HEAD", false},
		{custom, "refs/heads/agent/x", true},
		{custom, "refs/heads/main", false},
		{custom, "refs/tags/v1", true},
		{custom, "refs/tags/v12", false},
		{custom, "refs/heads/x-wip", true},
		{custom, "refs/heads/-wip", false},
	}
	for _, tt := range tests {
		if got := (Repository{Refs: tt.patterns}).Allows(tt.ref); got != tt.want {
			t.Errorf("patterns %q, %s: %v", tt.patterns, tt.ref, got)
		}
	}
}

func TestURL(t *testing.T) {
	r := Repository{User: "me", Host: "2001:db8::1", Port: 2222, Path: "/a b%.git"}
	if got, want := r.URL(), "ssh://me@[2001:db8::1]:2222/a%20b%25.git"; got != want {
		t.Errorf("URL = %s, want %s", got, want)
	}
}
