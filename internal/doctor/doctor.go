// Package doctor tells whether this host can hold bottles, and how to mend what
// is missing. It tries the real thing where trying is possible.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/containers/podman/v5/libpod/define"
	"github.com/containers/storage/pkg/idtools"
	"golang.org/x/sys/unix"

	"github.com/podbottle/podbottle/internal/pod"
	"github.com/podbottle/podbottle/internal/systemd"
)

// Status is the outcome of one check.
type Status string

// The outcomes. Only Fail makes a host unfit.
const (
	OK   Status = "ok"
	Warn Status = "warn"
	Fail Status = "fail"
)

// Check is one thing that was looked at.
type Check struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	Detail string `json:"detail"`
	Mend   string `json:"mend,omitempty"` // what to do, for Warn and Fail
}

// ErrNotPulled says that an image is not here yet.
var ErrNotPulled = errors.New("the image is not here yet")

// Options are what the checks need of the user's configuration.
type Options struct {
	RequireRunsc bool
	DataDir      string
	Config       string // path of the user's configuration
	// Firewall is checked last: it names what start would use, and returns an error
	// when that cannot be had.
	Firewall func(context.Context, *pod.Client) (string, error)
}

// Run makes all checks. Those that need Podman are left out when it does not answer.
func Run(ctx context.Context, o Options) []Check {
	checks := []Check{user(), userNamespaces(), tool("newuidmap", Fail, "install the package uidmap (shadow-utils on Fedora)")}
	client, err := pod.Connect(ctx)
	if err != nil {
		return append(checks, Check{"podman", Fail, err.Error(), "install Podman 5.0 or later and run: systemctl --user enable --now podman.socket"})
	}
	defer client.Close()
	checks = append(checks, Check{Name: "podman", Status: OK, Detail: client.Version().String()})
	info, err := client.Info()
	if err != nil {
		return append(checks, Check{"podman info", Fail, err.Error(), "run podman info and mend what it says"})
	}
	checks = append(checks, subordinateIDs(info), networkBackend(info), pasta(info),
		tool("nft", Fail, "install the package nftables; without it networks are not isolated"),
		tool("catatonit", Fail, "install the package catatonit; without it no pod can be made"),
		userManager(), runtimeDirectory(), disk(info))
	checks = append(checks, controllers(info)...)
	checks = append(checks, runsc(ctx, client, o))
	name, err := o.Firewall(ctx, client)
	other := "name another image or a binary in " + o.Config + " (firewall.image, firewall.binary), or choose firewall.engine: builtin there"
	if errors.Is(err, ErrNotPulled) {
		return append(checks, Check{"firewall", Warn, name + ": " + err.Error(), "the first start pulls it; where that cannot be, " + other})
	}
	if err != nil {
		return append(checks, Check{"firewall", Fail, err.Error(), other})
	}
	return append(checks, Check{Name: "firewall", Status: OK, Detail: name})
}

// total is the number of ids that a mapping covers.
func total(maps []idtools.IDMap) int {
	n := 0
	for _, m := range maps {
		n += m.Size
	}
	return n
}

// Healthy tells whether no check failed.
func Healthy(checks []Check) bool {
	return !slices.ContainsFunc(checks, func(c Check) bool { return c.Status == Fail })
}

func user() Check {
	if os.Geteuid() == 0 {
		return Check{"user", Fail, "this is root", "run podbottle as the user whose rootless Podman holds the bottles"}
	}
	return Check{Name: "user", Status: OK, Detail: fmt.Sprintf("uid %d", os.Geteuid())}
}

// userNamespaces reads the kernel's switches: the limit, Debian's, Ubuntu's.
func userNamespaces() Check {
	for path, forbidden := range map[string]string{
		"/proc/sys/user/max_user_namespaces":                     "0",
		"/proc/sys/kernel/unprivileged_userns_clone":             "0",
		"/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1",
	} {
		value, err := os.ReadFile(path) // #nosec G304 -- a fixed list
		if err == nil && strings.TrimSpace(string(value)) == forbidden {
			status := Fail
			if strings.Contains(path, "apparmor") {
				status = Warn // Ubuntu's profile for podman makes an exception
			}
			return Check{"user namespaces", status, path + " is " + forbidden, "change it with sysctl (see sysctl.d(5))"}
		}
	}
	return Check{Name: "user namespaces", Status: OK, Detail: "allowed"}
}

// tool wants a program on the user's PATH, or where only root's has it.
func tool(name string, missing Status, mend string) Check {
	path, err := exec.LookPath(name)
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/libexec/podman", "/usr/lib/podman", "/usr/libexec/catatonit"} {
		if err == nil {
			break
		}
		path, err = exec.LookPath(dir + "/" + name)
	}
	if err != nil {
		return Check{name, missing, "not found", mend}
	}
	return Check{Name: name, Status: OK, Detail: path}
}

// subordinateIDs wants a range that covers the uids of the containers.
func subordinateIDs(info *define.Info) Check {
	const wanted = 65536
	for what, maps := range map[string]int{"uid": total(info.Host.IDMappings.UIDMap), "gid": total(info.Host.IDMappings.GIDMap)} {
		if maps < wanted {
			return Check{"subordinate ids", Fail, fmt.Sprintf("%d of sub%ss", maps, what), "run: sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER; podman system migrate"}
		}
	}
	return Check{Name: "subordinate ids", Status: OK, Detail: fmt.Sprintf("%d uids", total(info.Host.IDMappings.UIDMap))}
}

func networkBackend(info *define.Info) Check {
	if info.Host.NetworkBackend != "netavark" {
		return Check{"network backend", Fail, info.Host.NetworkBackend, "switch to netavark (podman system reset, and network_backend in containers.conf)"}
	}
	return Check{Name: "network backend", Status: OK, Detail: "netavark " + info.Host.NetworkBackendInfo.Version}
}

func pasta(info *define.Info) Check {
	if info.Host.Pasta.Executable == "" {
		return Check{"pasta", Fail, "not found", "install the package passt"}
	}
	return Check{Name: "pasta", Status: OK, Detail: info.Host.Pasta.Executable}
}

// controllers are needed to hold an agent to its limits; a bottle runs without.
func controllers(info *define.Info) []Check {
	if info.Host.CgroupsVersion != "v2" {
		return []Check{{"cgroups", Fail, info.Host.CgroupsVersion, "boot with systemd.unified_cgroup_hierarchy=1"}}
	}
	var checks []Check
	for controller, limit := range map[string]string{"memory": "memory", "pids": "task", "cpu": "CPU"} {
		name := "cgroup controller " + controller
		if slices.Contains(info.Host.CgroupControllers, controller) {
			checks = append(checks, Check{Name: name, Status: OK, Detail: "delegated"})
			continue
		}
		checks = append(checks, Check{name, Warn, "not delegated: " + limit + " limits are not enforced", "delegate it in user@.service (Delegate= in systemd.resource-control(5))"})
	}
	slices.SortFunc(checks, func(a, b Check) int { return strings.Compare(a.Name, b.Name) })
	return checks
}

func userManager() Check {
	root, err := pod.RuntimeRoot()
	if err != nil {
		return Check{"systemd user manager", Fail, err.Error(), "log in through systemd-logind"}
	}
	if _, err := os.Stat(root + "/systemd/private"); err != nil {
		return Check{"systemd user manager", Warn, "not running: limits on the agent are not enforced", "log in through systemd-logind, or run: loginctl enable-linger"}
	}
	if !systemd.Lingers() {
		return Check{"systemd user manager", Warn, "running, but it ends with the login, and detached bottles with it", "run: loginctl enable-linger"}
	}
	return Check{Name: "systemd user manager", Status: OK, Detail: "running, lingers"}
}

// runtimeDirectory is where a bottle's secrets are while it runs.
func runtimeDirectory() Check {
	root, err := pod.RuntimeRoot()
	if err == nil {
		err = pod.InMemory(root)
	}
	if err != nil {
		return Check{"runtime directory", Fail, err.Error(), "log in through systemd-logind, or set XDG_RUNTIME_DIR to a directory of yours on tmpfs"}
	}
	return Check{Name: "runtime directory", Status: OK, Detail: root + ", in memory"}
}

// disk wants room for an image and an agent's work.
func disk(info *define.Info) Check {
	const wanted = 2 << 30
	var fs unix.Statfs_t
	if err := unix.Statfs(info.Store.GraphRoot, &fs); err != nil {
		return Check{"disk", Warn, err.Error(), "look at " + info.Store.GraphRoot}
	}
	free := fs.Bavail * uint64(fs.Bsize)
	detail := fmt.Sprintf("%.1f GB free in %s", float64(free)/1e9, info.Store.GraphRoot)
	if free < wanted {
		return Check{"disk", Warn, detail, "free some, for example with: podman system prune"}
	}
	return Check{Name: "disk", Status: OK, Detail: detail}
}

// runsc really starts a container under gVisor.
func runsc(ctx context.Context, client *pod.Client, o Options) Check {
	missing := Warn
	if o.RequireRunsc {
		missing = Fail
	}
	const mend = "install gVisor's runsc of August 2024 or later (gvisor.dev/docs/user_guide/install); Debian 13's own package is older than its kernel allows"
	path, err := pod.FindRunsc()
	if err != nil {
		return Check{"runsc", missing, "not found: agents would share this machine's kernel", mend}
	}
	version, err := pod.RunscVersion(ctx, path)
	if err != nil {
		return Check{"runsc", Fail, err.Error(), mend}
	}
	binary, err := pod.SidecarBinary()
	if err != nil {
		return Check{"podbottle-sidecar", Fail, err.Error(), "run: make install"}
	}
	sidecar, err := client.EnsureSidecar(ctx, binary, o.DataDir)
	if err == nil {
		err = client.TryRunsc(ctx, path, o.DataDir, sidecar.Image, "version")
	}
	if err != nil {
		return Check{"runsc", Fail, fmt.Sprintf("%s (%s) cannot start a container: %v", path, version, err), mend}
	}
	return Check{Name: "runsc", Status: OK, Detail: path + " " + version + ", a container ran under it"}
}
