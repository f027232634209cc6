package pod

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/network"

	"github.com/podbottle/podbottle/internal/blueprint"
)

// Layout is where the parts of a running bottle are on its networks.
type Layout struct {
	Subnet  netip.Prefix // of the internal network
	Gateway netip.Addr   // of the internal network
	Pod     netip.Addr   // the sidecars', on the internal network
	Agent   netip.Addr
	// Outside are addresses that the agent has no way to: the pod's on the uplink, and
	// the uplink's gateway.
	Outside []netip.Addr
	// Others are the other bottles that run now.
	Others []Other
}

// Other is another bottle.
type Other struct {
	Slug string
	Pod  netip.Addr // on its internal network
	// Addresses are all that its pod and its agent have, and the gateways of its networks.
	Addresses []netip.Addr
}

// Layout asks Podman for the addresses of a bottle.
func (c *Client) Layout(ctx context.Context, slug string) (Layout, error) {
	var l Layout
	base := "bot-bottle-" + slug
	found, err := c.Find(ctx, slug)
	if err != nil {
		return l, err
	}
	internal, err := network.Inspect(c.with(ctx), base+"-internal", nil)
	if err != nil {
		return l, fmt.Errorf("network %s-internal: %w", base, err)
	}
	if len(internal.Subnets) == 0 {
		return l, fmt.Errorf("network %s-internal has no subnet", base)
	}
	if l.Subnet, err = netip.ParsePrefix(internal.Subnets[0].Subnet.String()); err != nil {
		return l, err
	}
	// The bridge has the first address even where the network hands out no gateway.
	l.Gateway = l.Subnet.Masked().Addr().Next()
	agent, err := c.addresses(ctx, found.Container)
	if err != nil {
		return l, err
	}
	l.Agent = agent[base+"-internal"].own
	pod, err := c.addresses(ctx, base+"-infra")
	if err != nil {
		return l, err
	}
	l.Pod = pod[base+"-internal"].own
	l.Outside = pod[base+"-uplink"].list()
	if !l.Agent.IsValid() || !l.Pod.IsValid() || len(l.Outside) == 0 {
		return l, fmt.Errorf("podman does not say which addresses bottle %s has", slug)
	}
	l.Others, err = c.others(ctx, slug)
	return l, err
}

// others are the other bottles that run. One that ends at this moment has no addresses
// any more.
func (c *Client) others(ctx context.Context, slug string) ([]Other, error) {
	all, err := c.List(ctx)
	if err != nil {
		return nil, err
	}
	var list []Other
	for _, s := range all {
		if s.Slug == slug || s.Services["infra"] != "running" || s.Services[string(blueprint.Egress)] != "running" {
			continue
		}
		other := Other{Slug: s.Slug}
		for _, name := range []string{"bot-bottle-" + s.Slug + "-infra", s.Container} {
			networks, err := c.addresses(ctx, name)
			if err != nil {
				continue
			}
			for network, at := range networks {
				other.Addresses = append(other.Addresses, at.list()...)
				if name != s.Container && network == "bot-bottle-"+s.Slug+"-internal" {
					other.Pod = at.own
				}
			}
		}
		if other.Pod.IsValid() {
			list = append(list, other)
		}
	}
	return list, nil
}

// ContainerOf is the name of a bottle's sidecar.
func ContainerOf(slug string, s blueprint.Service) string {
	return "bot-bottle-" + slug + "-" + string(s)
}

// Process is the main process of a container, as this machine counts it, and its user
// as the container has it, uid:gid.
func (c *Client) Process(ctx context.Context, name string) (pid int, user string, err error) {
	got, err := containers.Inspect(c.with(ctx), name, nil)
	if err != nil {
		return 0, "", fmt.Errorf("container %s: %w", name, err)
	}
	if got.State.Pid == 0 {
		return 0, "", fmt.Errorf("container %s does not run", name)
	}
	return got.State.Pid, got.Config.User, nil
}

// place is a container on one network.
type place struct{ own, gateway netip.Addr }

func (p place) list() []netip.Addr {
	var list []netip.Addr
	for _, addr := range []netip.Addr{p.own, p.gateway} {
		if addr.IsValid() {
			list = append(list, addr)
		}
	}
	return list
}

// addresses maps the networks of a container to its place there.
func (c *Client) addresses(ctx context.Context, name string) (map[string]place, error) {
	got, err := containers.Inspect(c.with(ctx), name, nil)
	if err != nil {
		return nil, fmt.Errorf("container %s: %w", name, err)
	}
	places := map[string]place{}
	if got.NetworkSettings == nil {
		return places, nil
	}
	for network, n := range got.NetworkSettings.Networks {
		places[network] = place{own: parseIP(n.IPAddress), gateway: parseIP(n.Gateway)}
	}
	return places, nil
}

func parseIP(text string) netip.Addr {
	addr, ok := netip.AddrFromSlice(net.ParseIP(text))
	if !ok {
		return netip.Addr{}
	}
	return addr.Unmap()
}
