package pod

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/opencontainers/selinux/go-selinux"
)

// host is what a specification depends on besides the blueprint.
type host struct {
	runtimeDir string          // of this bottle
	runtime    string          // the agent's OCI runtime: absolute path; empty for Podman's default
	seccomp    string          // the containers' seccomp profile: absolute path
	controller map[string]bool // cgroup controllers that are delegated to the user
	manager    bool            // a systemd user manager makes slices
	slices     bool            // and Podman puts containers into them
	selinux    bool
}

// describeHost fills in what the machine says of itself. Podman would say the
// same, but takes half a second for it.
func describeHost(h host) (host, error) {
	controllers, err := DelegatedControllers()
	if err != nil {
		return h, err
	}
	h.controller = controllers
	h.selinux = selinux.GetEnabled()
	h.manager = hasUserManager()
	return h, nil
}

// DelegatedControllers are the cgroup controllers, such as memory, that systemd
// delegates to the user.
func DelegatedControllers() (map[string]bool, error) {
	return readControllers(fmt.Sprintf("/sys/fs/cgroup/user.slice/user-%[1]d.slice/user@%[1]d.service/cgroup.controllers", os.Geteuid()))
}

// readControllers reads cgroup.controllers of cgroups(7); without the file there is none.
func readControllers(path string) (map[string]bool, error) {
	text, err := os.ReadFile(path) // #nosec G304 -- below /sys/fs/cgroup
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	set := map[string]bool{}
	for _, name := range strings.Fields(string(text)) {
		set[name] = true
	}
	return set, nil
}

// hasUserManager tells whether systemd runs for the user.
func hasUserManager() bool {
	dir, err := RuntimeRoot()
	if err != nil {
		return false
	}
	_, err = os.Stat(dir + "/systemd/private")
	return err == nil
}
