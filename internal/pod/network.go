package pod

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"strings"

	nettypes "github.com/containers/common/libnetwork/types"
	"github.com/containers/podman/v5/pkg/bindings/network"

	"github.com/podbottle/podbottle/internal/blueprint"
	"github.com/podbottle/podbottle/internal/breakage"
)

// createNetworks creates both networks of a bottle and returns the addresses
// that follow from the subnet which Podman chose.
func (c *Client) createNetworks(ctx context.Context, b *blueprint.Bottle) (blueprint.Addresses, error) {
	internal, err := c.createNetwork(ctx, b.Internal, b.Labels)
	if err != nil {
		return blueprint.Addresses{}, err
	}
	if _, err := c.createNetwork(ctx, b.Uplink, b.Labels); err != nil {
		return blueprint.Addresses{}, err
	}
	prefix, err := netip.ParsePrefix(internal.Subnets[0].Subnet.String())
	if err != nil {
		return blueprint.Addresses{}, fmt.Errorf("network %s: %w", internal.Name, err)
	}
	return blueprint.AddressesOf(prefix)
}

func (c *Client) createNetwork(ctx context.Context, n blueprint.Network, labels map[string]string) (nettypes.Network, error) {
	created, err := network.Create(c.with(ctx), &nettypes.Network{
		Name:     n.Name,
		Driver:   nettypes.BridgeNetworkDriver,
		Internal: n.Internal,
		Labels:   maps.Clone(labels),
		Options:  n.Options,
		// Never, but in a test of podbottle verify.
		DNSEnabled: n.Internal && breakage.Has("dns"),
	})
	if err != nil && strings.Contains(err.Error(), noSubnet) {
		return created, fmt.Errorf("network %s: %w; every address range that Podman may use is taken: stop bottles, or add ranges to default_subnet_pools in containers.conf", n.Name, err)
	}
	if err != nil {
		return created, fmt.Errorf("network %s: %w", n.Name, err)
	}
	if unseen() {
		return created, nil
	}
	return created, sameNetwork(n, created)
}

// noSubnet is in Podman's error when its address ranges are used up (ErrNoFreeSubnet
// of containers/common/libnetwork/util has no value of its own).
const noSubnet = "could not find free subnet"

// sameNetwork compares what was asked for with what Podman made: an option that
// a server does not know would otherwise be dropped without a word.
func sameNetwork(want blueprint.Network, got nettypes.Network) error {
	switch {
	case got.Internal != want.Internal:
		return fmt.Errorf("network %s: podman made it internal=%t instead of %t", want.Name, got.Internal, want.Internal)
	case got.DNSEnabled:
		return fmt.Errorf("network %s: podman switched DNS on", want.Name)
	case got.IPv6Enabled || len(got.Subnets) != 1 || !got.Subnets[0].Subnet.IP.Equal(got.Subnets[0].Subnet.IP.To4()):
		return fmt.Errorf("network %s: podman gave it other subnets than one of IPv4", want.Name)
	}
	for key, value := range want.Options {
		if got.Options[key] != value {
			return fmt.Errorf("network %s: podman set the option %s to %q instead of %q", want.Name, key, got.Options[key], value)
		}
	}
	return nil
}

// Subnets are those of all of Podman's networks but one bottle's own.
func (c *Client) Subnets(ctx context.Context, except string) ([]netip.Prefix, error) {
	all, err := network.List(c.with(ctx), nil)
	if err != nil {
		return nil, fmt.Errorf("list of networks: %w", err)
	}
	var list []netip.Prefix
	for _, n := range all {
		if n.Labels[blueprint.LabelSlug] == except {
			continue
		}
		for _, subnet := range n.Subnets {
			if prefix, err := netip.ParsePrefix(subnet.Subnet.String()); err == nil {
				list = append(list, prefix)
			}
		}
	}
	return list, nil
}
