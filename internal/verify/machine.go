package verify

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"strings"
)

// pastaHost is the address by which pasta gives the host to a pod, where the host
// has a default route (podman-run(1), --network pasta).
const pastaHost = "169.254.1.2"

// machineAddresses are this machine's addresses besides loopback.
func machineAddresses() ([]netip.Addr, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var list []netip.Addr
	for _, a := range all {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil || prefix.Addr().IsLoopback() || prefix.Addr().IsLinkLocalUnicast() {
			continue
		}
		list = append(list, prefix.Addr().Unmap())
	}
	return list, nil
}

// reachable chooses the address by which the pod's own namespace reaches this
// machine. That it does is the first control of every run.
func reachable(addresses []netip.Addr) netip.Addr {
	routes, err := os.ReadFile("/proc/net/route")
	if err == nil && hasDefault(string(routes)) {
		return netip.MustParseAddr(pastaHost)
	}
	for _, addr := range addresses {
		if addr.Is4() {
			return addr
		}
	}
	return netip.MustParseAddr(pastaHost)
}

// hasDefault looks for a destination of zeroes (proc(5), /proc/net/route).
func hasDefault(routes string) bool {
	for line := range strings.Lines(routes) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.Trim(fields[1], "0") == "" {
			return true
		}
	}
	return false
}

// namespaces are this process's, by type.
func namespaces() map[string]string {
	list := map[string]string{}
	for _, kind := range []string{"net", "mnt", "pid", "ipc", "uts", "cgroup", "user"} {
		if link, err := os.Readlink("/proc/self/ns/" + kind); err == nil {
			list[kind] = link
		}
	}
	return list
}

// processes returns the arguments of every process that can be read, by path.
func processes() map[string][]byte {
	list := map[string][]byte{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return list
	}
	for _, entry := range entries {
		if strings.Trim(entry.Name(), "0123456789") != "" {
			continue
		}
		path := "/proc/" + entry.Name() + "/cmdline"
		if text, err := os.ReadFile(path); err == nil && len(text) > 0 { // #nosec G304 -- of /proc
			list[path] = bytes.ReplaceAll(text, []byte{0}, []byte{' '})
		}
	}
	return list
}
