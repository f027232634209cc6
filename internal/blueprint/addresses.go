package blueprint

import (
	"fmt"
	"net/netip"
)

// AddressesOf are the addresses that the members of a bottle have in a subnet:
// the second and the third, since the first is the gateway's where there is one.
func AddressesOf(subnet netip.Prefix) (Addresses, error) {
	pod := subnet.Masked().Addr().Next().Next()
	agent := pod.Next()
	if !subnet.IsValid() || !subnet.Contains(agent.Next()) {
		return Addresses{}, fmt.Errorf("the subnet %s is too small for a bottle", subnet)
	}
	return Addresses{Pod: pod, Agent: agent}, nil
}
