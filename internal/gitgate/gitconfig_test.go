package gitgate

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// gitURL asks git itself where a URL leads under a configuration.
func gitURL(t *testing.T, config []byte, url string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "gitconfig")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("git", "ls-remote", "--get-url", url)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+file, "GIT_CONFIG_NOSYSTEM=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git ls-remote --get-url %s: %v\n%s", url, err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestGitconfigLeadsEverySpellingToTheGate(t *testing.T) {
	config := Gitconfig(Plan{Upstreams: []Upstream{
		{Name: "app", URL: "ssh://git@git.example.org:2222/team/app.git", User: "git", Host: "git.example.org", Port: 2222, Path: "/team/app.git", Alias: "git"},
		{Name: "lib", URL: "ssh://git@git.example.org/team/app-lib", User: "git", Host: "git.example.org", Port: 22, Path: "/team/app-lib"},
		{Name: "own", URL: "ssh://me@[2001:db8::1]:22/~me/a%20b.git", User: "me", Host: "2001:db8::1", Port: 22, Path: "/~me/a b.git"},
		{Name: "one", URL: "ssh://git@two.example.org:22/same.git", User: "git", Host: "two.example.org", Port: 22, Path: "/same.git"},
		{Name: "two", URL: "ssh://git@two.example.org:23/same.git", User: "git", Host: "two.example.org", Port: 23, Path: "/same.git"},
	}})
	const app, lib = "git://git-gate/app.git", "git://git-gate/lib.git"
	tests := []struct{ url, want string }{
		{"ssh://git@git.example.org:2222/team/app.git", app},
		{"ssh://git@git.example.org:2222/team/app", app},
		{"ssh://git@git.example.org/team/app.git", app},
		{"ssh://git.example.org:2222/team/app.git", app},
		{"git@git.example.org:team/app.git", app},
		{"git@git.example.org:team/app", app},
		{"git@git.example.org:/team/app.git", app},
		{"git.example.org:team/app.git", app},
		{"git@git:team/app.git", app},
		{"ssh://git@git:2222/team/app.git", app},
		{"https://git.example.org/team/app.git", app},
		{"https://git.example.org/team/app", app},
		{"https://git.example.org/team/app/", app + "/"},
		{"https://git/team/app.git", app},
		{"http://git.example.org/team/app.git", app},
		{"ssh://git@git.example.org/team/app-lib", lib},
		{"https://git.example.org/team/app-lib", lib},
		{"git@git.example.org:team/app-lib.git", lib},
		{"ssh://me@[2001:db8::1]/~me/a%20b.git", "git://git-gate/own.git"},
		{"me@[2001:db8::1]:~me/a b.git", "git://git-gate/own.git"},
		// What is not declared stays as it is, also where its URL begins alike.
		{"https://git.example.org/team/app-docs.git", "https://git.example.org/team/app-docs.git"},
		{"https://git.example.org/team/application", "https://git.example.org/team/application"},
		{"https://git.example.org/team/app.js", "https://git.example.org/team/app.js"},
		{"https://git.example.org/team/app-library", "https://git.example.org/team/app-library"},
		{"https://git.example.org/other/app.git", "https://git.example.org/other/app.git"},
		{"git@other.example.org:team/app.git", "git@other.example.org:team/app.git"},
		// A spelling that fits two remotes leads to neither; the declared URLs do.
		{"ssh://git@two.example.org:22/same.git", "git://git-gate/one.git"},
		{"ssh://git@two.example.org:23/same.git", "git://git-gate/two.git"},
		{"git@two.example.org:same.git", "git@two.example.org:same.git"},
	}
	for _, tt := range tests {
		if got := gitURL(t, config, tt.url); got != tt.want {
			t.Errorf("%s leads to %s, want %s", tt.url, got, tt.want)
		}
	}
}

func TestGitconfigIdentity(t *testing.T) {
	const name, email = `Ann "the \ builder" O'Neil; # x`, "ann@example.org"
	file := filepath.Join(t.TempDir(), "gitconfig")
	if err := os.WriteFile(file, Gitconfig(Plan{User: User{Name: name, Email: email}}), 0o600); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"user.name": name, "user.email": email} {
		out, err := exec.Command("git", "config", "--file", file, key).Output()
		if got := strings.TrimSuffix(string(out), "\n"); err != nil || got != want {
			t.Errorf("%s = %q, %v; want %q", key, got, err, want)
		}
	}
	if text := Gitconfig(Plan{}); len(text) != 0 {
		t.Errorf("a plan without identity and remotes gives %q", text)
	}
}
