package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// dialTime is how long a connection may take that has no business succeeding. The
// kernel answers at once where there is no route; one that hangs has found a way.
const dialTime = 1500 * time.Millisecond

// Target is one address to reach.
type Target struct {
	Network string `json:"network"` // tcp | udp
	Address string `json:"address"` // host:port, literal
	// Mark is sent once connected.
	Mark string `json:"mark,omitempty"`
}

// Reached says how a connection went.
type Reached struct {
	Target
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
}

// Reach connects to each target at the same time. For udp, OK says that a reply came.
func Reach(ctx context.Context, targets []Target) []Reached {
	list := make([]Reached, len(targets))
	var group sync.WaitGroup
	for i, target := range targets {
		group.Add(1)
		go func() {
			defer group.Done()
			list[i] = Reached{Target: target, OK: true}
			if err := reach(ctx, target); err != nil {
				list[i].OK, list[i].Error = false, err.Error()
			}
		}()
	}
	group.Wait()
	return list
}

func reach(ctx context.Context, t Target) error {
	dialer := net.Dialer{Timeout: dialTime}
	conn, err := dialer.DialContext(ctx, t.Network, t.Address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if t.Mark == "" {
		return nil
	}
	if _, err := conn.Write([]byte(t.Mark + "\n")); err != nil {
		return err
	}
	_ = conn.SetReadDeadline(time.Now().Add(dialTime))
	_, err = conn.Read(make([]byte, 512))
	return err
}

// noWay reports whether the kernel itself says that it has no way to an address.
func noWay(err error) bool {
	for _, expected := range []error{
		syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT,
		syscall.EACCES, syscall.EPERM, syscall.EPROTONOSUPPORT, syscall.ESOCKTNOSUPPORT,
	} {
		if errors.Is(err, expected) {
			return true
		}
	}
	return false
}

// unreachable tries to connect to every target and wants the kernel to know no
// way to any. A refused connection was answered by somebody and so is a way.
func (b *bottle) unreachable(ctx context.Context, network string, addresses ...netip.AddrPort) Result {
	control, err := b.egressAnswers(ctx)
	if err != nil {
		return incomplete("egress, the control, does not answer: %v", err)
	}
	marks := make([]string, len(addresses))
	errs := make([]error, len(addresses))
	var group sync.WaitGroup
	for i, address := range addresses {
		marks[i] = b.mark()
		group.Add(1)
		go func() {
			defer group.Done()
			errs[i] = b.send(ctx, network, address.String(), marks[i])
		}()
	}
	group.Wait()
	for i, address := range addresses {
		if errs[i] == nil {
			return breach("%s %s took what was sent", network, address)
		}
		if !noWay(errs[i]) {
			return breach("%s %s: %v, instead of no route", network, address, errs[i])
		}
	}
	r := held("%d addresses, none has a route", len(addresses)).with("%s", control)
	if len(addresses) > 0 {
		r.Seen += fmt.Sprintf(" (%v)", errs[0])
	}
	r.Absent = marks
	return r
}

// send connects and writes a mark. An unconnected datagram is tried as well: it
// takes another path through the kernel.
func (b *bottle) send(ctx context.Context, network, address, mark string) error {
	dialer := net.Dialer{Timeout: dialTime}
	conn, err := dialer.DialContext(ctx, network, address)
	if err == nil {
		defer conn.Close()
		_, err = conn.Write([]byte(mark))
		return err
	}
	if network != "udp" || !noWay(err) {
		return err
	}
	packet, listenErr := net.ListenPacket("udp", ":0")
	if listenErr != nil {
		return listenErr
	}
	defer packet.Close()
	to, parseErr := net.ResolveUDPAddr("udp", address)
	if parseErr != nil {
		return parseErr
	}
	_, err = packet.WriteTo([]byte(mark), to)
	return err
}

// egressAnswers is the control of everything that must not connect: from the same
// container, with the same calls, egress does.
func (b *bottle) egressAnswers(ctx context.Context) (string, error) {
	const patient = 20 * time.Second // this one is meant to succeed, on a busy machine too
	dialer := net.Dialer{Timeout: patient}
	conn, err := dialer.DialContext(ctx, "tcp", b.task.Egress.String())
	if err != nil {
		return "", err
	}
	return "egress at " + b.task.Egress.String() + " accepted a connection", conn.Close()
}

// besideEgress is an attack whose control is egress.
func besideEgress(attack func(context.Context, *bottle) Result) func(context.Context, *bottle) Result {
	return func(ctx context.Context, b *bottle) Result {
		control, err := b.egressAnswers(ctx)
		if err != nil {
			return incomplete("egress, the control, does not answer: %v", err)
		}
		return attack(ctx, b).with("%s", control)
	}
}
