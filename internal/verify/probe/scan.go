package probe

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
)

// privileged is the last port of those that services are given (RFC 6335: system ports).
const privileged = 1023

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
