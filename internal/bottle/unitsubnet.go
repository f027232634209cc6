package bottle

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math/bits"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/podbottle/podbottle/internal/state"
)

// takenSubnets are those that a bottle's internal network must not meet: of
// Podman's networks, of other installed bottles, and of the host's own routes.
func (d *design) takenSubnets(ctx context.Context) ([]netip.Prefix, error) {
	taken, err := d.client.Subnets(ctx, d.plan.Slug)
	if err != nil {
		return nil, err
	}
	slugs, err := state.List(d.Root)
	if err != nil {
		return nil, err
	}
	for _, slug := range slugs {
		if record, err := d.installedUnits(slug); err == nil && slug != d.plan.Slug && record.Request.Subnet.IsValid() {
			taken = append(taken, record.Request.Subnet)
		}
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("addresses of this host: %w", err)
	}
	for _, address := range addresses {
		if prefix, err := netip.ParsePrefix(address.String()); err == nil {
			taken = append(taken, prefix.Masked())
		}
	}
	routes, err := os.Open("/proc/net/route")
	if err != nil {
		return nil, err
	}
	defer routes.Close()
	return append(taken, routedSubnets(routes)...), nil
}

// routedSubnets reads /proc/net/route (proc(5)): destination and mask are
// hexadecimal, in the byte order of the machine. The default route is left out.
func routedSubnets(table io.Reader) []netip.Prefix {
	const destination, mask = 1, 7
	var list []netip.Prefix
	for scanner := bufio.NewScanner(table); scanner.Scan(); {
		fields := strings.Fields(scanner.Text())
		if len(fields) <= mask {
			continue
		}
		to, err := hex.DecodeString(fields[destination])
		if err != nil || len(to) != 4 {
			continue // the head of the table
		}
		width, err := hex.DecodeString(fields[mask])
		if err != nil || len(width) != 4 {
			continue
		}
		var address [4]byte
		binary.BigEndian.PutUint32(address[:], binary.NativeEndian.Uint32(to))
		if length := bits.OnesCount32(binary.BigEndian.Uint32(width)); length > 0 {
			list = append(list, netip.PrefixFrom(netip.AddrFrom4(address), length))
		}
	}
	return list
}
