package probe

import (
	"context"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"
)

func networkProbes() []inside {
	return []inside{
		{Probe{
			ID:      "net.routes",
			Tried:   "read the kernel's routing table",
			Control: "the internal network's own route is there",
			Breach:  "a route to anywhere but the internal network",
		}, netRoutes},
		{Probe{
			ID:      "net.add-route",
			Tried:   "add a route by the gateway",
			Control: "the interfaces can be listed over netlink",
			Breach:  "the kernel takes the route",
			Root:    true,
		}, netAddRoute},
		{Probe{
			ID:      "net.tcp4",
			Tried:   "connect to literal IPv4 addresses of the internet",
			Control: controlEgress,
			Breach:  "anything but the kernel's word that there is no route",
		}, netTCP4},
		{Probe{
			ID:      "net.tcp6",
			Tried:   "connect to literal IPv6 addresses, mapped and translated ones too",
			Control: controlEgress,
			Breach:  "anything but the kernel's word that there is no route",
		}, netTCP6},
		{Probe{
			ID:      "net.udp4",
			Tried:   "send datagrams to literal IPv4 addresses, connected and not (DNS, NTP, QUIC)",
			Control: controlEgress,
			Breach:  "a datagram is taken",
		}, netUDP4},
		{Probe{
			ID:      "net.udp6",
			Tried:   "send datagrams to literal IPv6 addresses",
			Control: controlEgress,
			Breach:  "a datagram is taken",
		}, netUDP6},
		{Probe{
			ID:      "net.icmp",
			Tried:   "send an echo request from a raw and from a datagram socket",
			Control: controlEgress,
			Breach:  "a raw socket opens, or the request is taken",
			Root:    true,
		}, besideEgress(netICMP)},
		{Probe{
			ID:      "net.raw",
			Tried:   "open raw IPv4 and IPv6 sockets",
			Control: "a TCP socket opens",
			Breach:  "one opens",
			Root:    true,
		}, netRaw},
		{Probe{
			ID:      "net.packet",
			Tried:   "open packet sockets",
			Control: "a TCP socket opens",
			Breach:  "one opens",
			Root:    true,
		}, netPacket},
		{Probe{
			ID:      "net.vsock",
			Tried:   "connect to the host by vsock",
			Control: controlEgress,
			Breach:  "the connection is under way (vsock knows no network namespace)",
			Root:    true,
		}, besideEgress(netVsock)},
		{Probe{
			ID:      "net.families",
			Tried:   "open sockets of families and protocols that no program of an agent needs (ALG, KEY, TIPC, RDS, XDP, netlink but for routes, SCTP, DCCP, MPTCP)",
			Control: "a TCP socket opens",
			Breach:  "one opens",
			Root:    true,
		}, netFamilies},
	}
}

// Literal addresses of documentation (RFC 5737, RFC 3849): nobody is there, so a
// probe bothers no one even where it gets out.
var (
	outside4 = literals("198.51.100.1", "203.0.113.1", "192.0.2.1")
	outside6 = literals("2001:db8::1", "64:ff9b::c633:6401", "::ffff:198.51.100.1", "fd00::1")
)

func literals(texts ...string) []netip.Addr {
	list := make([]netip.Addr, len(texts))
	for i, text := range texts {
		list[i] = netip.MustParseAddr(text)
	}
	return list
}

// at is each address with each port.
func at(addresses []netip.Addr, ports ...uint16) []netip.AddrPort {
	var list []netip.AddrPort
	for _, addr := range addresses {
		for _, port := range ports {
			list = append(list, netip.AddrPortFrom(addr, port))
		}
	}
	return list
}

func netTCP4(ctx context.Context, b *bottle) Result {
	return b.unreachable(ctx, "tcp", at(outside4, 22, 80, 443)...)
}

func netTCP6(ctx context.Context, b *bottle) Result {
	return b.unreachable(ctx, "tcp", at(outside6, 22, 80, 443)...)
}

func netUDP4(ctx context.Context, b *bottle) Result {
	return b.unreachable(ctx, "udp", at(outside4, 53, 123, 443)...)
}

func netUDP6(ctx context.Context, b *bottle) Result {
	return b.unreachable(ctx, "udp", at(outside6, 53, 123, 443)...)
}

// netICMP tries the raw socket that ping has used for ever and the datagram
// socket that needs no capability (icmp(7), ping_group_range).
func netICMP(context.Context, *bottle) Result {
	echo := []byte{8, 0, 0xf7, 0xfe, 0, 1, 0, 0} // RFC 792, with its checksum
	var seen []string
	for _, kind := range []int{unix.SOCK_RAW, unix.SOCK_DGRAM} {
		fd, err := unix.Socket(unix.AF_INET, kind, unix.IPPROTO_ICMP)
		if err != nil {
			seen = append(seen, err.Error())
			continue
		}
		err = unix.Sendto(fd, echo, 0, &unix.SockaddrInet4{Addr: [4]byte{198, 51, 100, 1}})
		_ = unix.Close(fd)
		if err == nil {
			return breach("an ICMP echo request to 198.51.100.1 was sent")
		}
		if kind == unix.SOCK_RAW {
			return breach("a raw ICMP socket was opened")
		}
		seen = append(seen, err.Error())
	}
	return held("%s", strings.Join(seen, "; "))
}
