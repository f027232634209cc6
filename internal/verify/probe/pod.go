package probe

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/gitgate"
	"github.com/podbottle/podbottle/internal/pipelock"
	"github.com/podbottle/podbottle/internal/supervise"
)

func podProbes() []inside {
	return []inside{
		{Probe{
			ID:      "pod.ports",
			Tried:   "connect to the pod's address on every port on which anything in it listens, and on all system ports",
			Control: "the ports that are meant to be open are",
			Breach:  "any other is open",
		}, podPorts},
		{Probe{
			ID:      "pod.gateway",
			Tried:   "connect to the internal network's gateway on all system ports, and those of resolvers, engines and the sidecars",
			Control: controlEgress,
			Breach:  "one is open",
		}, besideEgress(podGateway)},
		{Probe{
			ID:      "pod.neighbours",
			Tried:   "connect to every other address of the internal network",
			Control: controlEgress,
			Breach:  "somebody answers",
		}, besideEgress(podNeighbours)},
		{Probe{
			ID:      "pod.outside",
			Tried:   "connect to the pod's address on the uplink and to the uplink's gateway, on the ports of the sidecars",
			Control: controlEgress,
			Breach:  "anything but the kernel's word that there is no route",
		}, podOutside},
		{Probe{
			ID:      "pod.others",
			Tried:   "connect to the sidecars, the agent and the gateways of another bottle, and ask egress for them",
			Control: "that bottle's egress answers in its own pod",
			Breach:  "anything but the kernel's word that there is no route, or egress lets one through",
			Others:  true,
			Root:    true,
		}, podOthers},
		{Probe{
			ID:      "pod.loopback",
			Tried:   "ask egress for the firewall's and the metrics' ports on its own loopback",
			Control: controlAllowed,
			Breach:  "egress lets it through",
		}, podLoopback},
	}
}

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

// arpTime is longer than the kernel asks for the hardware address of a neighbour.
const arpTime = 5 * time.Second

// podGateway wants nothing to answer on the internal network's gateway, where a
// resolver would listen.
func podGateway(ctx context.Context, b *bottle) Result {
	dialer := net.Dialer{Timeout: arpTime}
	conn, err := dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(b.task.Gateway, 53).String())
	switch {
	case err == nil:
		_ = conn.Close()
		return breach("a resolver's port is open on the gateway %s", b.task.Gateway)
	case noWay(err):
		return held("nobody has the address %s: %v", b.task.Gateway, err)
	}
	const docker, dockerTLS, mdns, llmnr, web = 2375, 2376, 5353, 5355, 8080
	if open := scan(ctx, b.task.Gateway, append([]uint16{docker, dockerTLS, mdns, llmnr, web}, b.task.Listening...)); len(open) > 0 {
		return breach("ports open on the gateway %s: %v", b.task.Gateway, open)
	}
	return held("none is open on %s", b.task.Gateway)
}

// podNeighbours looks for anybody on the internal network besides the pod.
func podNeighbours(ctx context.Context, b *bottle) Result {
	const most = 256 // of a network that is larger than Podman makes them
	var mutex sync.Mutex
	var found []string
	var group sync.WaitGroup
	tried := 0
	for addr := b.task.Subnet.Addr().Next(); b.task.Subnet.Contains(addr) && tried < most; addr = addr.Next() {
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
			if err == nil || errors.Is(err, syscall.ECONNREFUSED) {
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
	return held("%d addresses, nobody answers", tried)
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

// metricsPort is where egress answers on the pod's loopback (docs/egress.md).
const metricsPort = 9901

// onSidecarPorts is each address with each port that a sidecar of some bottle has, and
// with a resolver's.
func onSidecarPorts(addresses []netip.Addr) []netip.AddrPort {
	return at(addresses, 53, pipelock.Port, egress.Port, supervise.Port, gitgate.Port, metricsPort)
}

// podLoopback asks egress for the ports on its own loopback: the firewall's and
// the metrics'.
func podLoopback(ctx context.Context, b *bottle) Result {
	return b.refuseHosts(ctx, []string{"127.0.0.1", "localhost", "pipelock", "egress", b.task.Egress.Addr().String()}, pipelock.Port, metricsPort, egress.Port)
}
