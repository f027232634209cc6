package probe

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// kernelNested makes a user namespace, in which the process holds every
// capability, and wants it to gain nothing over what is not its own.
func kernelNested(ctx context.Context, _ *bottle) Result {
	control := exec.CommandContext(ctx, "/proc/self/exe", "version") // #nosec G204 -- this program
	if err := control.Run(); err != nil {
		return incomplete("this program cannot even be started again: %v", err)
	}
	out, err := inNamespace(ctx, &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	})
	if err != nil {
		// Some may make a namespace and not map a user into it.
		out, err = inNamespace(ctx, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER})
	}
	if err != nil {
		return held("no user namespace can be made: %v", err).with("the same program starts without one")
	}
	var could []string
	if err := json.Unmarshal(out, &could); err != nil {
		return incomplete("%v", err)
	}
	if len(could) > 0 {
		return breach("in a new user namespace: %s", strings.Join(could, ", "))
	}
	if !isGVisor() {
		return breach("a user namespace can be made on the host's kernel, which opens it to a hundred more system calls")
	}
	return held("a user namespace of gVisor's own can be made; it gives nothing over the container's network and devices").with("a program ran in it")
}

// inNamespace runs tryNested in namespaces of its own and returns what it prints.
func inNamespace(ctx context.Context, namespaces *syscall.SysProcAttr) ([]byte, error) {
	command := exec.CommandContext(ctx, "/proc/self/exe", "probe", "nested") // #nosec G204 -- this program
	command.SysProcAttr = namespaces
	return command.Output()
}

// tryNested runs in the new user namespace and returns what it could do there.
func tryNested() []string {
	could := []string{}
	try := func(what string, err error) {
		if err == nil {
			could = append(could, what)
		}
	}
	socket := func(family, kind, protocol int) error {
		fd, err := unix.Socket(family, kind, protocol)
		if err == nil {
			_ = unix.Close(fd)
		}
		return err
	}
	try("a raw socket was opened", socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW))
	try("a packet socket was opened", socket(unix.AF_PACKET, unix.SOCK_RAW, unix.ETH_P_ALL))
	try("a mount was changed", unix.Mount("", "/run/podbottle", "", unix.MS_REMOUNT|unix.MS_BIND, ""))
	try("the host name was set", sameName())
	if dir, err := scratch(); err == nil {
		defer os.RemoveAll(dir)
		try("a device was made", unix.Mknod(dir+"/device", unix.S_IFBLK|0o600, int(unix.Mkdev(8, 0))))
	}
	return could
}
