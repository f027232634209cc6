package handover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/podbottle/podbottle/internal/breakage"
)

// Literal addresses of documentation (RFC 5737, RFC 3849): nobody is there, so
// the proof bothers no one even where it fails.
const (
	literalIPv4 = "198.51.100.1"
	literalIPv6 = "2001:db8::1"
)

// proofTimeout is how long the kernel may take to say that there is no route.
// It says so at once; a connection that hangs has found a way.
const proofTimeout = 2 * time.Second

// egressTimeout is how long egress may take to come up beside the agent.
const egressTimeout = 30 * time.Second

// prove checks the two halves of the boundary: literal addresses have no route,
// and egress answers. Literal, so that a failing resolver cannot pass as isolation.
func prove(ctx context.Context, o Options) error {
	if breakage.All() != "" { // podbottle verify shall find it instead
		return waitEgress(ctx, o.Egress)
	}
	if o.Filtered {
		if err := filtered(); err != nil {
			return err
		}
	}
	if err := noDefaultRoute("/proc/net/route"); err != nil {
		return err
	}
	for _, network := range []string{"tcp", "udp"} {
		for _, host := range []string{literalIPv4, literalIPv6} {
			if err := unreachable(ctx, network, net.JoinHostPort(host, "443")); err != nil {
				return err
			}
		}
	}
	return waitEgress(ctx, o.Egress)
}

// filtered asks for a user namespace. This program has several threads, so that the
// kernel would answer EINVAL (unshare(2)): only a filter answers EPERM.
func filtered() error {
	if err := syscall.Unshare(syscall.CLONE_NEWUSER); !errors.Is(err, syscall.EPERM) {
		return fmt.Errorf("the seccomp filter lets system calls through that podbottle's refuses: unshare(CLONE_NEWUSER): wanted \"operation not permitted\", got: %w", err)
	}
	return nil
}

// unreachable wants the kernel's own word that an address has no route.
func unreachable(ctx context.Context, network, address string) error {
	dialer := net.Dialer{Timeout: proofTimeout}
	conn, err := dialer.DialContext(ctx, network, address)
	if err == nil {
		_ = conn.Close()
		return fmt.Errorf("%s %s has a route", network, address)
	}
	for _, expected := range []error{syscall.ENETUNREACH, syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT} {
		if errors.Is(err, expected) {
			return nil
		}
	}
	return fmt.Errorf("%s %s: wanted \"network is unreachable\", got: %w", network, address, err)
}

// noDefaultRoute reads the kernel's routing table (proc(5)): a line with the
// destination and the mask 0 leads everywhere.
func noDefaultRoute(path string) error {
	table, err := os.ReadFile(path) // #nosec G304 -- /proc/net/route
	if err != nil {
		return fmt.Errorf("routing table: %w", err)
	}
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		const destination, mask = 1, 7
		if len(fields) > mask && strings.Trim(fields[destination], "0") == "" && strings.Trim(fields[mask], "0") == "" {
			return fmt.Errorf("there is a default route by %s", fields[0])
		}
	}
	return nil
}

// waitEgress waits until the proxy accepts connections.
func waitEgress(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, egressTimeout)
	defer cancel()
	var dialer net.Dialer
	for {
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("egress at %s does not answer: %w", address, err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// announce tells egress that the agent starts now, through the proxy itself.
func announce(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, egressTimeout)
	defer cancel()
	transport := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: address}), DisableKeepAlives: true}
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://_egress.local/agent-ready", nil)
	if err != nil {
		return err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("agent-ready: %s", response.Status)
	}
	return nil
}
