// Command bench-git compares git through git-gate with git over ssh to the same
// server, in the same image and under the same runtime, and prints ratios. It runs
// inside the test host (make bench-git).
package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/podbottle/podbottle/internal/sshdtest"
)

const (
	rounds  = 7
	commits = 10_000
	host    = "git.upstream.test"
	address = "203.0.113.10:2222"
	image   = "localhost/podbottle-test-agent:latest"
	base    = "localhost/podbottle-test-git:latest"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench-git:", err)
		os.Exit(1)
	}
}

func run() error {
	dir, err := os.MkdirTemp("", "podbottle-bench-git")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	remote, err := sshdtest.Start(dir, netip.MustParseAddrPort(address))
	if err != nil {
		return err
	}
	defer remote.Stop()
	if err := fill(remote); err != nil {
		return err
	}
	url := fmt.Sprintf("ssh://%s@%s:%d%s", remote.User, host, remote.Addr.Port(), remote.RepositoryPath("app"))
	gate, err := startBottle(dir, url, remote)
	if err != nil {
		return err
	}
	defer gate.stop()
	direct, err := startDirect(dir, remote)
	if err != nil {
		return err
	}
	defer direct.stop()
	return compare(gate, direct, url)
}

// compare measures in turn, so that what else the machine does meets both.
func compare(gate, direct place, url string) error {
	clone := func(i int) string { return fmt.Sprintf("git clone -q '%s' c%d", url, i) }
	const fetch = "git -C c0 fetch -q"
	first, err := gate.time(clone(0))
	if err != nil {
		return err
	}
	if _, err := direct.time(clone(0)); err != nil {
		return err
	}
	var gateClone, directClone, gateFetch, directFetch []time.Duration
	for i := range rounds {
		for _, m := range []struct {
			in     place
			script string
			out    *[]time.Duration
		}{
			{direct, clone(i + 1), &directClone},
			{gate, clone(i + 1), &gateClone},
			{direct, fetch, &directFetch},
			{gate, fetch, &gateFetch},
		} {
			took, err := m.in.time(m.script)
			if err != nil {
				return err
			}
			*m.out = append(*m.out, took)
		}
	}
	c, d, f, g := median(gateClone), median(directClone), median(gateFetch), median(directFetch)
	fmt.Printf("median of %d rounds; a repository of %d commits\n", rounds, commits)
	fmt.Printf("clone, direct                 %8s\n", round(d))
	fmt.Printf("clone, through git-gate       %8s   %.2f times as long (target: 1.3)\n", round(c), c.Seconds()/d.Seconds())
	fmt.Printf("  the first, of an empty gate %8s\n", round(first))
	fmt.Printf("fetch of nothing, direct      %8s\n", round(g))
	fmt.Printf("fetch of nothing, git-gate    %8s   %+d ms (target: +150 ms)\n", round(f), (f - g).Milliseconds())
	return nil
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// fill makes the repository: commits that each change one of 500 files of some
// kilobytes.
func fill(remote *sshdtest.Server) error {
	if err := remote.Create("app"); err != nil {
		return err
	}
	var stream bytes.Buffer
	for i := range commits {
		text := strings.Repeat(fmt.Sprintf("line of commit %d\n", i), 100)
		message := fmt.Sprintf("commit %d\n", i)
		fmt.Fprintf(&stream, "commit refs/heads/main\ncommitter A <a@example.org> %d +0000\ndata %d\n%s", 1_700_000_000+i, len(message), message)
		if i == 0 {
			stream.WriteString("from refs/heads/main^0\n")
		}
		fmt.Fprintf(&stream, "M 100644 inline dir%d/file%d\ndata %d\n%s\n", i%20, i%500, len(text), text)
	}
	cmd := exec.Command("git", "-C", remote.RepositoryPath("app"), "fast-import", "--quiet")
	cmd.Stdin = &stream
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("git fast-import: %w\n%s", err, out)
	}
	_, err := remote.Git("app.git", "gc", "--quiet")
	return err
}

// place is where git runs: a command that a shell script is appended to.
type place struct {
	argv []string
	env  []string
	stop func()
}

// time runs a script and returns how long it took, measured inside.
func (p place) time(script string) (time.Duration, error) {
	argv := slices.Concat(p.argv, []string{"cd; a=$EPOCHREALTIME; " + script + " || exit; b=$EPOCHREALTIME; echo $((${b/./} - ${a/./}))"})
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), p.env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("%s: %w\n%s", script, err, &stderr)
	}
	microseconds, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	return time.Duration(microseconds) * time.Microsecond, err
}

// startBottle starts a bottle that declares the repository.
func startBottle(dir, url string, remote *sshdtest.Server) (place, error) {
	hostKey, err := remote.HostKey("host")
	if err != nil {
		return place{}, err
	}
	root := filepath.Join(dir, "bot-bottle")
	for name, text := range map[string]string{
		"config.yaml":     "firewall: {engine: builtin}\nimages: {git_gate_base: '" + base + "'}\n",
		"agents/bench.md": "---\nbottle: bench\n---\nA benchmark.\n",
		"bottles/bench.md": fmt.Sprintf("---\nagent_provider: {template: command, image: '%s', command: [bash]}\n"+
			"git-gate:\n  repos:\n    app: {url: '%s', identity: '%s', host_key: %s}\n---\n", image, url, remote.Path("client"), hostKey),
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return place{}, err
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return place{}, err
		}
	}
	env := []string{"BOT_BOTTLE_ROOT=" + root}
	slug, err := output(env, "podbottle", "start", "bench", "--detach", "--yes", "--require-runsc")
	if err != nil {
		return place{}, err
	}
	return place{
		argv: []string{"podbottle", "exec", slug, "--", "bash", "-c"}, env: env,
		stop: func() { _, _ = output(env, "podbottle", "stop", "--discard", slug) },
	}, nil
}

// startDirect starts a container like a bottle's agent that may reach the server
// itself, with the key.
func startDirect(dir string, remote *sshdtest.Server) (place, error) {
	const network, container = "podbottle-bench-git", "podbottle-bench-git"
	wrapper := filepath.Join(dir, "runsc")
	// #nosec G306 -- it is a program
	if err := os.WriteFile(wrapper, []byte("#!/bin/sh\nexec /usr/local/bin/runsc --ignore-cgroups --overlay2=none \"$@\"\n"), 0o755); err != nil {
		return place{}, err
	}
	hostKey, err := remote.HostKey("host")
	if err != nil {
		return place{}, err
	}
	key, err := os.ReadFile(remote.Path("client"))
	if err != nil {
		return place{}, err
	}
	stop := func() {
		_, _ = output(nil, "podman", "rm", "--force", "--time=0", container)
		_, _ = output(nil, "podman", "network", "rm", network)
	}
	setup := fmt.Sprintf("mkdir -pm 700 ~/.ssh && echo '%s' >~/.ssh/id_ed25519 && chmod 600 ~/.ssh/id_ed25519 && echo '[%s]:%d %s' >~/.ssh/known_hosts",
		strings.TrimSpace(string(key)), host, remote.Addr.Port(), hostKey)
	for _, argv := range [][]string{
		{"podman", "network", "create", "--disable-dns", network},
		{"podman", "--runtime=" + wrapper, "run", "--detach", "--name", container, "--network", network, image, "sleep", "infinity"},
		{"podman", "--runtime=" + wrapper, "exec", container, "bash", "-c", setup},
	} {
		if _, err := output(nil, argv...); err != nil {
			stop()
			return place{}, err
		}
	}
	return place{argv: []string{"podman", "--runtime=" + wrapper, "exec", container, "bash", "-c"}, stop: stop}, nil
}

func output(env []string, argv ...string) (string, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", argv[0], err, &stderr)
	}
	return strings.TrimSpace(string(out)), nil
}
