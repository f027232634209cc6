//go:build e2e

package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// The tests of this file show that the host is fit to test podbottle on, without
// any of podbottle's code: when they fail, what fails elsewhere says nothing.

func TestHostRunsGVisor(t *testing.T) {
	leavesNothing(t)
	wrapper := filepath.Join(t.TempDir(), "runsc")
	writeFile(t, wrapper, "#!/bin/sh\nexec /usr/local/bin/runsc --ignore-cgroups --overlay2=none \"$@\"\n")
	command{argv: []string{"chmod", "755", wrapper}}.succeed(t)

	inside := podman(t, "--runtime="+wrapper, "run", "--rm", "--network=none", agentImage, "dmesg")
	if !strings.Contains(inside, "gVisor") {
		t.Errorf("under runsc the kernel log is not gVisor's:\n%s", inside)
	}
	host := command{argv: []string{"uname", "--kernel-version"}}.succeed(t)
	if got := podman(t, "run", "--rm", "--network=none", agentImage, "uname", "--kernel-version"); got != host {
		t.Errorf("under crun the kernel is %q, on the host %q", got, host)
	}
}

func TestHostNetworks(t *testing.T) {
	leavesNothing(t)
	up := startUpstream(t, upstreamIP+":443", nil)
	open, closed := newNetwork(t, "e2e-open"), newNetwork(t, "e2e-closed", "--internal")
	curl := func(network, url string, podmanArgs ...string) result {
		args := append([]string{"podman", "run", "--rm", "--interactive", "--network=" + network}, podmanArgs...)
		args = append(args, agentImage, "curl", "--silent", "--show-error", "--max-time", "60", "--cacert", "/dev/stdin", url)
		return command{argv: args, stdin: readFile(t, up.caFile)}.run(t)
	}

	for name, podmanArgs := range map[string][]string{
		"names from /etc/hosts":   nil,
		"names from the resolver": {"--no-hosts"},
	} {
		if r := curl(open, "https://api.upstream.test/hello?to=you", podmanArgs...); r.status != 0 || r.stdout != "upstream\n" {
			t.Errorf("%s: curl ended with %d: %s%s", name, r.status, r.stdout, r.stderr)
		}
	}
	seen := up.requests()
	if len(seen) != 2 || seen[0].path != "/hello?to=you" || seen[0].serverName != "api.upstream.test" {
		t.Errorf("the upstream saw %+v, want two requests for /hello?to=you", seen)
	}

	if r := curl(closed, "https://"+upstreamIP+"/"); r.status != 7 {
		t.Errorf("from an internal network curl ended with %d, want 7 (could not connect): %s%s", r.status, r.stdout, r.stderr)
	}
	if n := len(up.requests()); n != len(seen) {
		t.Errorf("the upstream saw %d requests from an internal network", n-len(seen))
	}
}

func TestHostRunsPodbottle(t *testing.T) {
	leavesNothing(t)
	r := newTree(t, nil).podbottle("version").run(t)
	if r.status != 0 || !strings.HasPrefix(r.stdout, "podbottle ") || r.stderr != "" {
		t.Errorf("podbottle version: status %d, stdout %q, stderr %q", r.status, r.stdout, r.stderr)
	}
}

// newNetwork makes a network without Podman's resolver, as a bottle's are.
func newNetwork(t testing.TB, name string, args ...string) string {
	t.Helper()
	podman(t, append(append([]string{"network", "create", "--disable-dns"}, args...), name)...)
	t.Cleanup(func() { podman(t, "network", "rm", name) })
	return name
}
