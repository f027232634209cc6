// Command demo shows what a bottle does, on the real thing: it starts one from
// examples/demo under runsc, with an upstream server of its own, and prints each
// claim with what was seen. It runs inside the test host (make demo).
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// token is the real credential. The agent must never see it.
const token = "demo-token-7f3a91c2"

// upstreamAddress is the test host's public address; its name is upstream.test.
const upstreamAddress = "203.0.113.10:8443"

func main() {
	start := time.Now()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "demo failed:", err)
		os.Exit(1)
	}
	fmt.Printf("\nAll of it held, in %s.\n", time.Since(start).Round(100*time.Millisecond))
}

func run() error {
	dir, err := os.MkdirTemp("", "podbottle-demo")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	server, err := startUpstream(upstreamAddress, dir)
	if err != nil {
		return err
	}
	defer server.close()
	d := demo{root: filepath.Join(dir, "bot-bottle"), extraCA: server.caFile}
	if err := os.CopyFS(d.root, os.DirFS("/src/examples/demo")); err != nil {
		return err
	}
	before, err := objects()
	if err != nil {
		return err
	}

	title("A bottle from examples/demo, under runsc")
	slug, err := d.podbottle("start", "demo", "--detach", "--yes", "--firewall=builtin", "--require-runsc")
	if err != nil {
		return err
	}
	d.slug = slug
	checks := []func(*upstream) error{d.kernel, d.allowed, d.tokenIsNowhere, d.denied, d.noRoute}
	for _, check := range checks {
		if err := check(server); err != nil {
			_, stopErr := d.podbottle("stop", "--discard", slug)
			return errors.Join(err, stopErr)
		}
	}

	title("The teardown leaves nothing")
	if _, err := d.podbottle("stop", "--discard", slug); err != nil {
		return err
	}
	after, err := objects()
	if err != nil {
		return err
	}
	return claim(before == after, "pods, networks, secrets and volumes are as before", strings.ReplaceAll(after, "\n", " "))
}

// demo is one bottle under demonstration.
type demo struct{ root, extraCA, slug string }

func (d demo) kernel(*upstream) error {
	title("The agent's kernel is gVisor's")
	out, err := d.agent("cat /proc/version")
	return errors.Join(err, claim(strings.Contains(out, "gvisor"), "/proc/version is not the host's", out))
}

func (d demo) allowed(server *upstream) error {
	title("An allowed request goes out, and carries the real token")
	out, err := d.agent("curl -sS https://upstream.test:8443/hello")
	if err != nil {
		return err
	}
	return errors.Join(
		claim(strings.Contains(out, "hello from upstream"), "curl in the bottle got the answer", out),
		claim(server.saw("Bearer "+token), "the server saw the real token", "Authorization: Bearer "+token),
	)
}

func (d demo) tokenIsNowhere(*upstream) error {
	title("The token is nowhere in the agent")
	// The search must not find itself: it reads the token from its standard input and
	// hands it to grep through a pipe.
	out, err := d.agentInput(token, `read -r t; pattern() { printf '%s\n' "$t"; }
{ env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline; grep -rshF -f <(pattern) / --exclude-dir=proc --exclude-dir=sys; } 2>/dev/null | tr '\0' '\n' | grep -cF -f <(pattern); true`)
	return errors.Join(err, claim(strings.TrimSpace(out) == "0", "environment, files and process list: occurrences", out))
}

func (d demo) denied(server *upstream) error {
	title("A host that is not listed is refused")
	hits := server.count()
	out, err := d.agent(`curl -sS -o /dev/null -w '%{http_connect} %{http_code}' https://other.upstream.test:8443/ ; true`)
	return errors.Join(err,
		claim(strings.Contains(out, "403"), "egress answered", out),
		claim(server.count() == hits, "the server saw nothing of it", fmt.Sprintf("%d requests", hits)))
}

func (d demo) noRoute(*upstream) error {
	title("Around the proxy there is no route")
	out, err := d.agent(`curl -sS --noproxy '*' --max-time 5 http://203.0.113.10:8443/ 2>&1; true`)
	if err != nil {
		return err
	}
	refused := strings.Contains(out, "Couldn't connect") || strings.Contains(out, "Failed to connect") || strings.Contains(out, "unreachable")
	routes, err := d.agent("cat /proc/net/route")
	return errors.Join(err,
		claim(refused && !strings.Contains(out, "timed out"), "a literal address", out),
		claim(!hasDefault(routes), "the routing table has no default", strings.Join(strings.Fields(routes), " ")))
}

// hasDefault looks for a destination of zeroes in /proc/net/route (proc(5)).
func hasDefault(routes string) bool {
	for line := range strings.Lines(routes) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.Trim(fields[1], "0") == "" {
			return true
		}
	}
	return false
}

// agent runs a shell command beside the agent.
func (d demo) agent(script string) (string, error) { return d.agentInput("", script) }

func (d demo) agentInput(input, script string) (string, error) {
	return d.command(strings.NewReader(input+"\n"), "exec", d.slug, "--", "bash", "-c", script)
}

func (d demo) podbottle(args ...string) (string, error) {
	fmt.Println("  $ podbottle", strings.Join(args, " "))
	return d.command(nil, args...)
}

func (d demo) command(in io.Reader, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "podbottle", args...) // #nosec G204 -- what the demo is for
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, &stdout, &stderr
	cmd.Env = append(os.Environ(), "BOT_BOTTLE_ROOT="+d.root, "DEMO_TOKEN="+token, "BOT_BOTTLE_EXTRA_CA_CERTS="+d.extraCA)
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("podbottle %s: %w\n%s%s", args[0], err, stdout.String(), stderr.String())
	}
	return strings.TrimSpace(stdout.String()), nil
}

// objects lists what Podman holds, in the four kinds that a bottle makes.
func objects() (string, error) {
	var all strings.Builder
	for _, args := range [][]string{{"pod", "ps", "-q"}, {"network", "ls", "-q"}, {"secret", "ls", "-q"}, {"volume", "ls", "-q"}} {
		out, err := exec.Command("podman", args...).Output() // #nosec G204 -- a fixed list
		if err != nil {
			return "", fmt.Errorf("podman %s: %w", strings.Join(args, " "), err)
		}
		all.Write(out)
	}
	return all.String(), nil
}

func title(text string) { fmt.Println("\n" + text) }

// claim prints what was seen, and fails when it is not what was claimed.
func claim(held bool, what, seen string) error {
	mark := "✓"
	if !held {
		mark = "✗"
	}
	fmt.Printf("  %s %s: %s\n", mark, what, strings.TrimSpace(seen))
	if !held {
		return fmt.Errorf("not so: %s: %s", what, seen)
	}
	return nil
}
