package firewall

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"code.dny.dev/ssrf"
)

// errAddress is a dial to an address that is not public.
var errAddress = errors.New("the address is not a public one")

// guard refuses to dial special-purpose addresses. It is asked with the address
// that is about to be dialled, after resolution, so that a name cannot change its
// address between a check and its use.
type guard struct {
	public  *ssrf.Guardian
	allowed []netip.Prefix // of the host that is dialled
}

// dial connects to a host that the configuration allows, HOST:PORT.
func (f *Firewall) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{
		Timeout:  dialTimeout,
		Resolver: f.settings.Resolver,
		Control:  (&guard{f.public, f.settings.Ranges.For(host)}).control,
	}
	return dialer.DialContext(ctx, network, address)
}

// control is the Control function of a net.Dialer.
func (g *guard) control(_, address string, _ syscall.RawConn) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %s", errAddress, address)
	}
	return g.check(target.Addr())
}

// check judges an address. An IPv4-mapped address is judged as the IPv4 address it
// is dialled as; NAT64, 6to4 and Teredo addresses are refused whatever they embed.
func (g *guard) check(addr netip.Addr) error {
	if addr.Zone() != "" {
		return fmt.Errorf("%w: %s has a zone", errAddress, addr)
	}
	addr = addr.Unmap()
	for _, prefix := range g.allowed {
		if prefix.Contains(addr) {
			return nil
		}
	}
	if err := g.public.SafeAddr(addr); err != nil {
		return fmt.Errorf("%w: %w", errAddress, err)
	}
	return nil
}
