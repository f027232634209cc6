package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Literal addresses of documentation (RFC 5737, RFC 3849): nobody is there, so a
// probe bothers no one even where it gets out.
var (
	outside4 = []string{"198.51.100.1", "203.0.113.1", "192.0.2.1"}
	outside6 = []string{"2001:db8::1", "64:ff9b::c633:6401", "::ffff:198.51.100.1", "fd00::1"}
)

func ports(addresses []string, list ...uint16) []netip.AddrPort {
	var all []netip.AddrPort
	for _, address := range addresses {
		for _, port := range list {
			all = append(all, netip.AddrPortFrom(netip.MustParseAddr(address), port))
		}
	}
	return all
}

func netTCP4(ctx context.Context, b *bottle) Result {
	return b.unreachable(ctx, "tcp", ports(outside4, 22, 80, 443)...)
}

func netTCP6(ctx context.Context, b *bottle) Result {
	return b.unreachable(ctx, "tcp", ports(outside6, 22, 80, 443)...)
}

func netUDP4(ctx context.Context, b *bottle) Result {
	return b.unreachable(ctx, "udp", ports(outside4, 53, 123, 443)...)
}

func netUDP6(ctx context.Context, b *bottle) Result {
	return b.unreachable(ctx, "udp", ports(outside6, 53, 123, 443)...)
}

// netICMP tries the raw socket that ping has used for ever and the datagram
// socket that needs no capability (icmp(7), ping_group_range).
func netICMP(ctx context.Context, b *bottle) Result {
	control, err := b.egressAnswers(ctx)
	if err != nil {
		return incomplete("egress, the control, does not answer: %v", err)
	}
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
	return held("%s", strings.Join(seen, "; ")).with("%s", control)
}

// socketKind is a kind of socket that an agent has no use for.
type socketKind struct {
	name                   string
	family, kind, protocol int
}

func refuseSockets(kinds ...socketKind) Result {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return incomplete("no socket at all can be made: %v", err)
	}
	_ = unix.Close(fd)
	var seen []string
	for _, k := range kinds {
		fd, err := unix.Socket(k.family, k.kind, k.protocol)
		if err == nil {
			_ = unix.Close(fd)
			return breach("a socket of the kind %s was opened", k.name)
		}
		seen = append(seen, k.name+": "+err.Error())
	}
	return held("%s", strings.Join(seen, "; ")).with("a TCP socket was opened")
}

func netRaw(context.Context, *bottle) Result {
	return refuseSockets(
		socketKind{"raw IPv4", unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW},
		socketKind{"raw TCP", unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_TCP},
		socketKind{"raw IPv6", unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_RAW},
	)
}

func netPacket(context.Context, *bottle) Result {
	const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8 // network byte order
	return refuseSockets(
		socketKind{"packet", unix.AF_PACKET, unix.SOCK_RAW, all},
		socketKind{"cooked packet", unix.AF_PACKET, unix.SOCK_DGRAM, all},
	)
}

// netFamilies opens sockets behind which there is code of the kernel that few look
// at. A kernel without one of them refuses it as a filter does.
func netFamilies(context.Context, *bottle) Result {
	return refuseSockets(
		socketKind{"AF_ALG", unix.AF_ALG, unix.SOCK_SEQPACKET, 0},
		socketKind{"AF_KEY", unix.AF_KEY, unix.SOCK_RAW, 2},
		socketKind{"AF_TIPC", unix.AF_TIPC, unix.SOCK_RDM, 0},
		socketKind{"AF_RDS", unix.AF_RDS, unix.SOCK_SEQPACKET, 0},
		socketKind{"AF_XDP", unix.AF_XDP, unix.SOCK_RAW, 0},
		socketKind{"AF_VSOCK", unix.AF_VSOCK, unix.SOCK_STREAM, 0},
		socketKind{"netlink, generic", unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_GENERIC},
		socketKind{"netlink, netfilter", unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER},
		socketKind{"SCTP", unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP},
		socketKind{"DCCP", unix.AF_INET, unix.SOCK_DCCP, unix.IPPROTO_DCCP},
		socketKind{"MPTCP", unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP},
	)
}

// netVsock tries the machine's hypervisor sockets, which know no network namespace.
func netVsock(_ context.Context, b *bottle) Result {
	return refuseReach(b, func() (string, error) {
		fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)
		if err != nil {
			return "", err
		}
		defer unix.Close(fd)
		if err := unix.SetNonblock(fd, true); err != nil {
			return "", err
		}
		err = unix.Connect(fd, &unix.SockaddrVM{CID: unix.VMADDR_CID_HOST, Port: 22})
		if errors.Is(err, unix.EINPROGRESS) || err == nil {
			return "a vsock connection to the host is under way", nil
		}
		return "", err
	})
}

// refuseReach wants an error from an attack whose control is egress.
func refuseReach(b *bottle, attack func() (string, error)) Result {
	control, err := b.egressAnswers(context.Background())
	if err != nil {
		return incomplete("egress, the control, does not answer: %v", err)
	}
	what, err := attack()
	if err == nil {
		return breach("%s", what)
	}
	return held("%v", err).with("%s", control)
}

// netRoutes reads the kernel's tables for anything beyond the internal network.
func netRoutes(_ context.Context, b *bottle) Result {
	table, err := os.ReadFile("/proc/net/route")
	if err != nil {
		return incomplete("%v", err)
	}
	var own bool
	for i, line := range strings.Split(strings.TrimSpace(string(table)), "\n") {
		fields := strings.Fields(line)
		if i == 0 || len(fields) < 8 {
			continue
		}
		prefix, err := parseRoute(fields[1], fields[7])
		if err != nil {
			return incomplete("line %q of the routing table: %v", line, err)
		}
		if prefix == b.task.Subnet {
			own = true
			continue
		}
		if !prefix.Addr().IsLoopback() {
			return breach("there is a route to %s by %s", prefix, fields[0])
		}
	}
	if !own {
		return incomplete("the routing table does not even have the internal network %s", b.task.Subnet)
	}
	return held("no other route").with("the route to %s is there", b.task.Subnet)
}

// parseRoute reads the little-endian hexadecimal of /proc/net/route (proc(5)).
func parseRoute(destination, mask string) (netip.Prefix, error) {
	var d, m uint32
	if _, err := fmt.Sscanf(destination, "%x", &d); err != nil {
		return netip.Prefix{}, err
	}
	if _, err := fmt.Sscanf(mask, "%x", &m); err != nil {
		return netip.Prefix{}, err
	}
	var bytes [4]byte
	binary.NativeEndian.PutUint32(bytes[:], d)
	ones := 0
	for ; m != 0; m &= m - 1 {
		ones++
	}
	return netip.PrefixFrom(netip.AddrFrom4(bytes), ones), nil
}

// netAddRoute asks the kernel for a route to one address of documentation by the
// gateway (rtnetlink(7)).
func netAddRoute(_ context.Context, b *bottle) Result {
	interfaces, err := net.Interfaces()
	if err != nil || len(interfaces) < 2 {
		return incomplete("the interfaces cannot be listed: %v", err)
	}
	err = changeRoute(unix.RTM_NEWROUTE, b.task.Gateway)
	if err == nil {
		_ = changeRoute(unix.RTM_DELROUTE, b.task.Gateway)
		return breach("the kernel took a route by %s", b.task.Gateway)
	}
	return held("%v", err).with("the interfaces were listed over netlink")
}

// changeRoute adds the route, or removes it again.
func changeRoute(kind uint16, gateway netip.Addr) error {
	const length = 44
	message := make([]byte, 0, length)
	message = binary.NativeEndian.AppendUint32(message, length)
	message = binary.NativeEndian.AppendUint16(message, kind)
	message = binary.NativeEndian.AppendUint16(message, unix.NLM_F_REQUEST|unix.NLM_F_ACK|unix.NLM_F_CREATE)
	message = append(message, 1, 0, 0, 0, 0, 0, 0, 0) // sequence, port
	message = append(message, unix.AF_INET, 32, 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_BOOT, unix.RT_SCOPE_UNIVERSE, unix.RTN_UNICAST, 0, 0, 0, 0)
	message = binary.NativeEndian.AppendUint16(message, 8)
	message = binary.NativeEndian.AppendUint16(message, unix.RTA_GATEWAY)
	message = append(message, gateway.AsSlice()...)
	message = binary.NativeEndian.AppendUint16(message, 8)
	message = binary.NativeEndian.AppendUint16(message, unix.RTA_DST)
	message = append(message, 198, 51, 100, 77) // no other probe's
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, message, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 2}); err != nil {
		return err
	}
	reply := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, reply, 0)
	if err != nil {
		return err
	}
	const header = 16
	if n < header+4 {
		return fmt.Errorf("reply of %d bytes", n)
	}
	if code := int32(binary.NativeEndian.Uint32(reply[header:])); code != 0 {
		return syscall.Errno(-code)
	}
	return nil
}

// arpTime is longer than the kernel asks for the hardware address of a neighbour.
const arpTime = 5 * time.Second

// privileged is the last port of those that services are given (RFC 6335: system ports).
const privileged = 1023

// podPorts connects to every port on which anything in the pod listens, on
// whatever address, and wants exactly those to answer that are meant to.
func podPorts(ctx context.Context, b *bottle) Result {
	if len(b.task.Listening) == 0 {
		return incomplete("the task does not say which ports anything in the pod listens on")
	}
	open := scan(ctx, b.task.Egress.Addr(), b.task.Listening)
	allowed := map[uint16]bool{}
	for _, port := range b.task.Ports {
		allowed[port] = true
	}
	for _, port := range open {
		if !allowed[port] {
			return breach("port %d answers", port)
		}
		delete(allowed, port)
	}
	if len(allowed) > 0 {
		return incomplete("of the ports that are meant to be open, only these answer: %v", open)
	}
	return held("something listens on %v and the system ports were tried; no other answers", b.task.Listening).with("these answer: %v", open)
}

// podGateway wants nothing to answer on the internal network's gateway, where a
// resolver would listen.
func podGateway(ctx context.Context, b *bottle) Result {
	control, err := b.egressAnswers(ctx)
	if err != nil {
		return incomplete("egress, the control, does not answer: %v", err)
	}
	dialer := net.Dialer{Timeout: arpTime}
	conn, err := dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(b.task.Gateway, 53).String())
	switch {
	case err == nil:
		_ = conn.Close()
		return breach("a resolver's port is open on the gateway %s", b.task.Gateway)
	case noWay(err):
		return held("nobody has the address %s: %v", b.task.Gateway, err).with("%s", control)
	}
	if open := scan(ctx, b.task.Gateway, append([]uint16{2375, 2376, 5353, 5355, 8080}, b.task.Listening...)); len(open) > 0 {
		return breach("ports open on the gateway %s: %v", b.task.Gateway, open)
	}
	return held("none is open on %s", b.task.Gateway).with("%s", control)
}

// scan returns which TCP ports of an address are open: of the system ports and more.
func scan(ctx context.Context, addr netip.Addr, more []uint16) []uint16 {
	tried := map[uint16]bool{}
	for port := uint16(1); port <= privileged; port++ {
		tried[port] = true
	}
	for _, port := range more {
		tried[port] = true
	}
	const workers = 128 // an address that answers nothing costs dialTime a port
	var mutex sync.Mutex
	var open []uint16
	next := make(chan uint16)
	var group sync.WaitGroup
	for range workers {
		group.Add(1)
		go func() {
			defer group.Done()
			dialer := net.Dialer{Timeout: dialTime, KeepAlive: -1}
			for port := range next {
				conn, err := dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(addr, port).String())
				if err != nil {
					continue
				}
				_ = conn.Close()
				mutex.Lock()
				open = append(open, port)
				mutex.Unlock()
			}
		}()
	}
	for port := range tried {
		next <- port
	}
	close(next)
	group.Wait()
	slices.Sort(open)
	return open
}

// podNeighbours looks for anybody on the internal network besides the pod.
func podNeighbours(ctx context.Context, b *bottle) Result {
	control, err := b.egressAnswers(ctx)
	if err != nil {
		return incomplete("egress, the control, does not answer: %v", err)
	}
	var mutex sync.Mutex
	var found []string
	var group sync.WaitGroup
	tried := 0
	for addr := b.task.Subnet.Addr().Next(); b.task.Subnet.Contains(addr) && tried < 256; addr = addr.Next() {
		if addr == b.task.Gateway || addr == b.task.Agent || addr == b.task.Egress.Addr() || !b.task.Subnet.Contains(addr.Next()) {
			continue
		}
		tried++
		group.Add(1)
		go func() {
			defer group.Done()
			dialer := net.Dialer{Timeout: arpTime}
			conn, err := dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(addr, b.task.Egress.Port()).String())
			if err == nil {
				_ = conn.Close()
			}
			if err == nil || strings.Contains(err.Error(), syscall.ECONNREFUSED.Error()) {
				mutex.Lock()
				found = append(found, addr.String())
				mutex.Unlock()
			}
		}()
	}
	group.Wait()
	if len(found) > 0 {
		return breach("somebody answers at %s", strings.Join(found, " "))
	}
	return held("%d addresses, nobody answers", tried).with("%s", control)
}

// podOutside tries the pod's own address on the uplink and the uplink's gateway, on
// the ports of the sidecars.
func podOutside(ctx context.Context, b *bottle) Result {
	if len(b.task.Outside) == 0 {
		return incomplete("the task names no address of the uplink")
	}
	return b.unreachable(ctx, "tcp", onSidecarPorts(b.task.Outside)...)
}

// podOthers tries other bottles, directly and through egress.
func podOthers(ctx context.Context, b *bottle) Result {
	direct := b.unreachable(ctx, "tcp", onSidecarPorts(b.task.Others)...)
	if direct.Outcome != Held {
		return direct
	}
	var requests []request
	for _, to := range onSidecarPorts(b.task.Others) {
		requests = append(requests, request{connect: to.String(), plain: true, path: "/" + b.mark()})
	}
	through := b.refused(ctx, requests...)
	if through.Outcome != Held {
		return through
	}
	through.Seen = direct.Seen + "; through egress " + through.Seen
	through.Absent = append(through.Absent, direct.Absent...)
	return through
}

// onSidecarPorts is each address with each port that a sidecar of some bottle has.
func onSidecarPorts(addresses []netip.Addr) []netip.AddrPort {
	var list []netip.AddrPort
	for _, addr := range addresses {
		for _, port := range []uint16{53, 8888, 9099, 9100, 9418, 9901} {
			list = append(list, netip.AddrPortFrom(addr, port))
		}
	}
	return list
}

// hostDirect tries this machine by every address that it has.
func hostDirect(network string) func(context.Context, *bottle) Result {
	return func(ctx context.Context, b *bottle) Result {
		var list []netip.AddrPort
		hosts := append([]netip.Addr{}, b.task.Host...)
		// What pasta, slirp4netns and Docker call the host.
		for _, literal := range []string{"169.254.1.2", "169.254.1.1", "10.0.2.2", "10.0.2.3", "172.17.0.1", "192.168.127.254"} {
			hosts = append(hosts, netip.MustParseAddr(literal))
		}
		for _, addr := range hosts {
			for _, port := range b.hostPorts(network) {
				list = append(list, netip.AddrPortFrom(addr, port))
			}
		}
		return b.unreachable(ctx, network, list...)
	}
}

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
// and slirp4netns can map one on the other.
func hostLoopback(ctx context.Context, b *bottle) Result {
	control, err := b.egressAnswers(ctx)
	if err != nil {
		return incomplete("egress, the control, does not answer: %v", err)
	}
	var marks []string
	for _, name := range []string{"127.0.0.1", "127.0.0.2", "::1", "localhost"} {
		for _, port := range b.hostPorts("tcp") {
			mark := b.mark()
			marks = append(marks, mark)
			address := net.JoinHostPort(name, fmt.Sprint(port))
			if err := b.send(ctx, "tcp", address, mark); err == nil {
				return breach("%s took a connection, and nothing listens there in the bottle", address)
			}
		}
	}
	r := held("%d connections refused", len(marks)).with("%s", control)
	r.Absent = marks
	return r
}
