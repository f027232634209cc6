package quadlet

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"net/netip"
)

// The subnets that units get: the upper quarter of 10.0.0.0/8, which Podman's
// own choice, upwards from 10.89.0.0, practically never reaches.
const (
	firstSubnet = uint32(10)<<24 | uint32(192)<<16
	subnetCount = 64 * 256
)

// Subnet chooses the internal network of a bottle: the same for the same slug,
// unless it meets one that is taken.
func Subnet(slug string, taken []netip.Prefix) (netip.Prefix, error) {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(slug))
	start := hash.Sum32() % subnetCount
	for i := range uint32(subnetCount) {
		var address [4]byte
		binary.BigEndian.PutUint32(address[:], firstSubnet+(start+i)%subnetCount<<8)
		candidate := netip.PrefixFrom(netip.AddrFrom4(address), 24)
		if free(candidate, taken) {
			return candidate, nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("no subnet of 10.192.0.0/10 is free for bottle %s; name one with --subnet", slug)
}

func free(candidate netip.Prefix, taken []netip.Prefix) bool {
	for _, t := range taken {
		if candidate.Overlaps(t) {
			return false
		}
	}
	return true
}
