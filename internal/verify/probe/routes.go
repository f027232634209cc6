package probe

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

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
