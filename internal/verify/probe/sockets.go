package probe

import (
	"context"
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

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
func netVsock(context.Context, *bottle) Result {
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return held("%v", err)
	}
	defer unix.Close(fd)
	err = unix.Connect(fd, &unix.SockaddrVM{CID: unix.VMADDR_CID_HOST, Port: 22})
	if err == nil || errors.Is(err, unix.EINPROGRESS) {
		return breach("a vsock connection to the host is under way")
	}
	return held("%v", err)
}
