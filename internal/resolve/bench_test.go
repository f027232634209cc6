package resolve_test

import (
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/podbottle/podbottle/internal/manifest"
	"github.com/podbottle/podbottle/internal/resolve"
)

// The manifests of a busy user: 1,000 agents and 200 bottles in chains of five.
func manyManifests(b *testing.B) (root, home string) {
	b.Helper()
	home = b.TempDir()
	root = filepath.Join(home, ".bot-bottle")
	for _, dir := range []string{"agents", "bottles"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			b.Fatal(err)
		}
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	for i := range 200 {
		extends := fmt.Sprintf("extends: bottle-%d\n", i-1)
		if i%5 == 0 {
			extends = "agent_provider: {template: command, image: alpine, command: [sh]}\n"
		}
		write(fmt.Sprintf("bottles/bottle-%d.md", i), fmt.Sprintf(`---
%senv:
  LEVEL: debug
  VARIABLE_%d: a value of some length
git-gate:
  user: {name: A Person, email: a@example.org}
  repos:
    repo-%d: {url: "ssh://git@git.example.org/team/repo-%d.git", ssh_agent: true}
egress:
  routes:
    - host: api-%d.example.org
      path_allowlist: [/v1/, /health]
      auth: {scheme: Bearer, token_ref: TOKEN_%d}
    - host: "*.cdn-%d.example.org"
      matches: [{paths: [{type: prefix, value: /assets/}], methods: [GET]}]
---
What the bottle is for.
`, extends, i, i, i, i, i, i))
	}
	for i := range 1000 {
		write(fmt.Sprintf("agents/agent-%d.md", i), fmt.Sprintf("---\nname: agent-%d\nbottle: bottle-%d\n---\nYou mend what is broken.\n", i, i%200))
	}
	return root, home
}

// BenchmarkResolve resolves one agent whose bottle is the end of a chain of five.
func BenchmarkResolve(b *testing.B) {
	root, home := manyManifests(b)
	socket := filepath.Join(home, "agent.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	host := resolve.Host{
		LookupEnv: func(name string) (string, bool) { return socket, name == "SSH_AUTH_SOCK" },
		Now:       time.Now,
		Rand:      rand.Reader,
		Root:      root,
		Home:      home,
		Exists:    func(string, string) (bool, error) { return false, nil },
	}
	b.ReportAllocs()
	for b.Loop() {
		ix, err := manifest.Open(root, home)
		if err != nil {
			b.Fatal(err)
		}
		plan, err := resolve.Resolve(b.Context(), host, ix, resolve.Spec{AgentName: "agent-504", UserCwd: home})
		if err != nil {
			b.Fatal(err)
		}
		if len(plan.Egress.Routes) != 2 || len(plan.Literals) != 6 {
			b.Fatalf("%d routes, %d variables", len(plan.Egress.Routes), len(plan.Literals))
		}
		b.StopTimer()
		if err := resolve.Abandon(root, plan, os.RemoveAll); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkNames lists the names of all 1,200 files.
func BenchmarkNames(b *testing.B) {
	root, home := manyManifests(b)
	b.ReportAllocs()
	for b.Loop() {
		ix, err := manifest.Open(root, home)
		if err != nil {
			b.Fatal(err)
		}
		if len(ix.Agents()) != 1000 || len(ix.Bottles()) != 200 {
			b.Fatal("names are missing")
		}
	}
}
