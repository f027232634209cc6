package probe

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

func hostProbes() []inside {
	return []inside{
		{Probe{
			ID:      "host.tcp",
			Tried:   "connect to this machine by each of its addresses and by those that pasta, slirp4netns and Docker give it",
			Control: controlEgress + "; the server is reached from the pod",
			Breach:  "anything but the kernel's word that there is no route",
		}, hostDirect("tcp")},
		{Probe{
			ID:      "host.udp",
			Tried:   "send datagrams to the same addresses",
			Control: controlEgress + "; the server is reached from the pod",
			Breach:  "a datagram is taken",
		}, hostDirect("udp")},
		{Probe{
			ID:      "host.loopback",
			Tried:   "connect to ports of this machine's loopback by the container's own",
			Control: controlEgress + "; a server listens there on the host",
			Breach:  "a connection is taken",
		}, besideEgress(hostLoopback)},
		{Probe{
			ID:      "host.egress",
			Tried:   "ask egress for this machine and for loopback, in every spelling",
			Control: controlAllowed,
			Breach:  "egress lets one through",
		}, hostThroughEgress},
		{Probe{
			ID:      "host.metadata",
			Tried:   "ask egress for cloud metadata services, in every spelling",
			Control: controlAllowed,
			Breach:  "egress lets one through",
		}, hostMetadata},
		{Probe{
			ID:      "host.sockets",
			Tried:   "look for sockets of the host: Podman, D-Bus, systemd, ssh-agent, gpg-agent, Wayland, X11",
			Control: "a socket made for it is found, and told for this container's own",
			Breach:  "one is there that no process of the container has made, by path, by variable or by abstract name",
			Root:    true,
		}, hostSockets},
		{Probe{
			ID:      "host.devices",
			Tried:   "look for devices of the host, and make some",
			Control: "/dev/null is there; a pipe can be made",
			Breach:  "there is one, or one can be made",
			Root:    true,
		}, hostDevices},
	}
}

// hostLiterals are what pasta, slirp4netns and Docker call the host.
var hostLiterals = literals("169.254.1.2", "169.254.1.1", "10.0.2.2", "10.0.2.3", "172.17.0.1", "192.168.127.254")

// hostDirect tries this machine by every address that it has.
func hostDirect(network string) func(context.Context, *bottle) Result {
	return func(ctx context.Context, b *bottle) Result {
		hosts := slices.Concat(b.task.Host, hostLiterals)
		return b.unreachable(ctx, network, at(hosts, b.hostPorts(network)...)...)
	}
}

// hostPorts are those of verify's servers, or else of services that a workstation has.
func (b *bottle) hostPorts(network string) []uint16 {
	s := b.task.Server
	switch {
	case s == nil:
		return []uint16{22, 53, 631}
	case network == "udp":
		return []uint16{s.DNS}
	default:
		return []uint16{s.Port, s.Other, s.Loopback}
	}
}

// hostLoopback tries the ports of the host's loopback on the agent's own: pasta
// and slirp4netns can map one on the other. Whose connection was taken the marks tell.
func hostLoopback(ctx context.Context, b *bottle) Result {
	var marks, taken []string
	for _, name := range []string{"127.0.0.1", "127.0.0.2", "::1", "localhost"} {
		for _, port := range b.hostPorts("tcp") {
			mark := b.mark()
			marks = append(marks, mark)
			address := net.JoinHostPort(name, fmt.Sprint(port))
			if err := b.send(ctx, "tcp", address, mark); err == nil {
				taken = append(taken, address)
			}
		}
	}
	r := held("%d connections refused", len(marks))
	if len(taken) > 0 {
		r = breach("connections are taken, and nothing listens there in the bottle: %s", strings.Join(taken, " "))
	}
	r.Absent = marks
	return r
}

func hostThroughEgress(ctx context.Context, b *bottle) Result {
	hosts := slices.Clone(loopbackHosts)
	for _, addr := range b.task.Host {
		if addr.Is6() {
			hosts = append(hosts, "["+addr.String()+"]")
			continue
		}
		hosts = append(hosts, addr.String())
	}
	ports := []uint16{80, 443}
	if s := b.task.Server; s != nil {
		ports = append(ports, s.Port, s.Loopback)
	}
	return b.refuseHosts(ctx, hosts, ports...)
}

func hostMetadata(ctx context.Context, b *bottle) Result {
	return b.refuseHosts(ctx, metadataHosts, 80, 443)
}

// hostDevices looks for devices of the host, and tries to make some.
func hostDevices(_ context.Context, _ *bottle) Result {
	known := map[string]bool{}
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty", "console", "ptmx", "pts", "shm", "mqueue", "fd", "stdin", "stdout", "stderr", "core", "net"} {
		known[name] = true
	}
	if isGVisor() {
		known["fuse"], known["char"] = true, true // its own: the host's are not behind them
	}
	entries, err := os.ReadDir("/dev")
	if err != nil {
		return incomplete("%v", err)
	}
	var names []string
	null := false
	for _, entry := range entries {
		null = null || entry.Name() == "null"
		if !known[entry.Name()] {
			names = append(names, entry.Name())
		}
	}
	if tun, err := os.ReadDir("/dev/net"); err == nil && !isGVisor() { // its own as well
		for _, entry := range tun {
			file, err := os.OpenFile("/dev/net/"+entry.Name(), os.O_RDWR, 0)
			if err == nil {
				_ = file.Close()
				names = append(names, "net/"+entry.Name())
			}
		}
	}
	switch {
	case !null:
		return incomplete("/dev/null is not even there")
	case len(names) > 0:
		return breach("devices: %s", strings.Join(names, " "))
	}
	dir, err := scratch()
	if err != nil {
		return incomplete("%v", err)
	}
	defer os.RemoveAll(dir)
	if err := unix.Mkfifo(dir+"/control", 0o600); err != nil {
		return incomplete("not even a pipe can be made: %v", err)
	}
	for _, d := range []struct {
		mode         uint32
		major, minor uint32
	}{{unix.S_IFBLK, 8, 0}, {unix.S_IFCHR, 1, 1}, {unix.S_IFCHR, 10, 200}, {unix.S_IFBLK, 259, 0}} {
		path := fmt.Sprintf("%s/%d-%d", dir, d.major, d.minor)
		if err := unix.Mknod(path, d.mode|0o600, int(unix.Mkdev(d.major, d.minor))); err == nil {
			return breach("the device %d:%d was made", d.major, d.minor)
		}
	}
	return held("no device of the host, and none can be made").with("/dev/null is there; a pipe was made")
}
