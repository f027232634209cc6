//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// agentImage has bash, curl, git and the user node (uid 1000), as agents' images
// do. hack/testhost loads it.
const agentImage = "localhost/podbottle-test-agent:latest"

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == agentCommand {
		if err := agentMain(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if err := usableHost(); err != nil {
		fmt.Fprintln(os.Stderr, "test/e2e:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// usableHost says why the tests cannot run here. A host that is not fit fails the
// tests: skipping them would let a broken host pass for a working podbottle.
func usableHost() error {
	if os.Geteuid() == 0 {
		return errors.New("these tests are for an unprivileged user; run them with: make e2e")
	}
	for _, name := range []string{"podbottle", "podbottle-sidecar", "runsc"} {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%w; run the tests with: make e2e", err)
		}
	}
	out, err := exec.Command("podman", "version", "--format", "{{.Client.Version}}").Output()
	if err != nil {
		return fmt.Errorf("podman version: %w", err)
	}
	version := strings.TrimSpace(string(out))
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err != nil || n < 5 {
		return fmt.Errorf("podman is version %s; the tests need 5 or later", version)
	}
	if err := exec.Command("podman", "image", "exists", agentImage).Run(); err != nil {
		return fmt.Errorf("image %s is missing; load it with: hack/testhost up", agentImage)
	}
	return nil
}
