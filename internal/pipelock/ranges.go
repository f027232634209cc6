package pipelock

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/podbottle/podbottle/internal/egress"
)

// HostRanges are the special-purpose ranges that each host may resolve to. Its keys are
// the hosts of all routes, "*.domain" among them. pipelock's own ssrf.ip_allowlist
// holds for every host of a bottle; the built-in engine goes by this instead.
type HostRanges map[string][]netip.Prefix

// NewHostRanges is what a set of effective routes permits.
func NewHostRanges(routes []egress.Route) HostRanges {
	ranges := make(HostRanges)
	for _, r := range routes {
		ranges[r.Host] = append([]netip.Prefix{}, r.SSRFIPAllowlist...)
	}
	return ranges
}

// For returns the ranges of the route that host falls under: the exact one, or else
// the wildcard with the longest domain.
func (h HostRanges) For(host string) []netip.Prefix {
	if ranges, ok := h[host]; ok {
		return ranges
	}
	for domain := host; ; {
		_, rest, ok := strings.Cut(domain, ".")
		if !ok {
			return nil
		}
		if ranges, ok := h["*."+rest]; ok {
			return ranges
		}
		domain = rest
	}
}

// ParseHostRanges reads a rendered file back.
func ParseHostRanges(data []byte) (HostRanges, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var ranges HostRanges
	if err := decoder.Decode(&ranges); err != nil {
		return nil, fmt.Errorf("ranges of the hosts: %w", err)
	}
	return ranges, nil
}
