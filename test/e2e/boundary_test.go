//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const token = "e2e-token-c3f1d2a9"

func TestTheBoundary(t *testing.T) {
	server := startUpstream(t, upstreamIP+":8443", nil)
	u := newUser(t, "BOT_BOTTLE_EXTRA_CA_CERTS="+server.caFile, "E2E_TOKEN="+token, "FORWARDED=forwarded-4be7")
	u.bottle("fixer", "[bash]", "env: {LITERAL: plain, SECRET: '${FORWARDED}'}\n"+route(withToken))
	slug := u.start("fixer", "--require-runsc")

	t.Run("the agent's kernel is gVisor's", func(t *testing.T) {
		wants(t, u.inside(slug, "cat /proc/version").stdout, "gvisor")
		if got := podman(t, "inspect", "bot-bottle-"+slug, "--format", "{{.OCIRuntime}}"); !strings.HasSuffix(got, "/runsc") {
			t.Errorf("runtime is %s", got)
		}
	})
	t.Run("an allowed request carries the token", func(t *testing.T) {
		wants(t, u.inside(slug, "curl -sS https://upstream.test:8443/x").stdout, "upstream\n")
		seen := server.requests()
		if len(seen) != 1 || seen[0].header.Get("Authorization") != "Bearer "+token {
			t.Errorf("the upstream saw %d requests", len(seen))
		}
	})
	t.Run("the agent's own credentials do not pass", func(t *testing.T) {
		before := len(server.requests())
		u.inside(slug, "curl -sS -H 'Authorization: Bearer mine' -H 'Proxy-Authorization: Basic eDp5' https://upstream.test:8443/x")
		for _, r := range server.requests()[before:] {
			if r.header.Get("Authorization") != "Bearer "+token || r.header.Get("Proxy-Authorization") != "" {
				t.Errorf("the upstream saw %v", r.header)
			}
		}
	})
	t.Run("an unlisted host is refused with a reason", func(t *testing.T) {
		before := len(server.requests())
		r := u.inside(slug, "curl -sS -i https://other.upstream.test:8443/")
		wants(t, r.stdout, "403", "Podbottle-Reason: host-not-allowed")
		wants(t, u.inside(slug, "curl -sS http://other.upstream.test/").stdout, "host-not-allowed", "- host: other.upstream.test")
		if len(server.requests()) != before {
			t.Error("the upstream saw the request")
		}
	})
	t.Run("around the proxy there is no way", func(t *testing.T) {
		for _, command := range []string{
			"curl -sS --noproxy '*' -m 5 http://203.0.113.10:8443/",
			"curl -sS --noproxy '*' -m 5 http://upstream.test:8443/",
			"curl -sS --noproxy '*' -m 5 http://169.254.1.2:8443/",
			"curl -sS --noproxy '*' -m 5 http://10.0.2.2:8443/",
			"exec 3<>/dev/udp/203.0.113.10/53",
			"exec 3<>/dev/tcp/203.0.113.10/8443",
			"exec 3<>/dev/tcp/egress/8888", // the firewall is on the pod's loopback
		} {
			if r := u.inside(slug, command); r.status == 0 {
				t.Errorf("%s: %v", command, r)
			}
		}
		wants(t, u.inside(slug, "exec 3<>/dev/tcp/egress/9099 && echo open").stdout, "open") // the control
	})
	t.Run("no resolver answers", func(t *testing.T) {
		if r := u.inside(slug, "getent hosts upstream.test"); r.status == 0 {
			t.Errorf("resolved: %v", r)
		}
		wants(t, u.inside(slug, "getent hosts egress").stdout, "10.") // the control
	})
	t.Run("forwarded variables reach the agent and nothing else", func(t *testing.T) {
		wants(t, u.inside(slug, "echo $LITERAL $SECRET").stdout, "plain forwarded-4be7")
		for _, text := range []string{inspections(t, slug), u.must("start", "fixer", "--dry-run", "--format", "json")} {
			if strings.Contains(text, "forwarded-4be7") || strings.Contains(text, token) {
				t.Error("a secret is in podman inspect or in the plan")
			}
		}
	})
	t.Run("the token is nowhere in the agent", func(t *testing.T) {
		r := u.input(token+"\n", "exec", slug, "--", "bash", "-c", `read -r t; pattern() { printf '%s\n' "$t"; }
{ env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline; grep -rshF -f <(pattern) / --exclude-dir=proc --exclude-dir=sys; } 2>/dev/null | tr '\0' '\n' | grep -cF -f <(pattern)`)
		if strings.TrimSpace(r.stdout) != "0" {
			t.Errorf("found: %v", r)
		}
	})
	t.Run("the agent has no privileges", func(t *testing.T) {
		status := u.inside(slug, "id -u; grep -E '^(CapEff|CapPrm|CapBnd|NoNewPrivs)' /proc/self/status").stdout
		wants(t, status, "1000", "CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1")
	})
	t.Run("nobody else can read the secrets", func(t *testing.T) {
		for _, dir := range []string{filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "podbottle", slug), filepath.Join(u.root, "state", slug)} {
			info, err := os.Stat(dir)
			if err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("%s: %v %v", dir, info, err)
			}
		}
	})
	t.Run("the logs and the audit hold no secret", func(t *testing.T) {
		for _, service := range []string{"egress", "pipelock"} {
			r := u.run("logs", slug, "--service", service)
			if r.status != 0 || strings.Contains(r.stdout+r.stderr, token) {
				t.Errorf("%s: %v", service, r)
			}
		}
		audit := u.must("audit", slug, "--format", "json")
		wants(t, audit, "upstream.test", "host-not-allowed")
		if strings.Contains(audit, token) {
			t.Error("the token is in the audit")
		}
		u.must("audit", "verify", slug)
	})
}

// inspections is what podman inspect says of every container of a bottle.
func inspections(t *testing.T, slug string) string {
	t.Helper()
	names := strings.Fields(podman(t, "ps", "--all", "--filter", "label=io.podbottle.slug="+slug, "--format", "{{.Names}}"))
	return podman(t, append([]string{"inspect"}, names...)...)
}

// A sidecar that dies takes the network away and nothing else; its restart brings it back.
func TestFailClosed(t *testing.T) {
	server := startUpstream(t, upstreamIP+":8443", nil)
	u := newUser(t, "BOT_BOTTLE_EXTRA_CA_CERTS="+server.caFile, "E2E_TOKEN="+token)
	u.bottle("fixer", "[bash]", route(withToken))
	slug := u.start("fixer")
	const request = "curl -sS -m 60 https://upstream.test:8443/x"
	wants(t, u.inside(slug, request).stdout, "upstream\n")
	for _, service := range []string{"egress", "pipelock"} {
		before := len(server.requests())
		podman(t, "kill", "--signal=KILL", "bot-bottle-"+slug+"-"+service)
		eventually(t, "list shows a bottle without "+service, func() bool {
			shown := u.must("list")
			return strings.Contains(shown, "degraded") && strings.Contains(shown, service+"(exited)")
		})
		if r := u.inside(slug, request); strings.Contains(r.stdout, "upstream\n") {
			t.Errorf("without %s: %v", service, r)
		}
		if len(server.requests()) != before {
			t.Errorf("without %s the upstream saw a request", service)
		}
		podman(t, "start", "bot-bottle-"+slug+"-"+service)
		eventually(t, "the way out is back after "+service, func() bool { return u.inside(slug, request).stdout == "upstream\n" })
	}
}
