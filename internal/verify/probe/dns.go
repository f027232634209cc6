package probe

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

func dnsProbes() []inside {
	return []inside{
		{Probe{
			ID:      "dns.resolvers",
			Tried:   "ask every resolver that one could name, over UDP and TCP",
			Control: "a resolver in the container gets the same question",
			Breach:  "one answers, or the question arrives outside",
		}, dnsResolvers},
		{Probe{
			ID:      "dns.system",
			Tried:   "resolve names as programs do",
			Control: "the name egress resolves",
			Breach:  "a name of the internet resolves",
		}, dnsSystem},
		{Probe{
			ID:      "dns.tls",
			Tried:   "connect to resolvers over TLS",
			Control: controlEgress,
			Breach:  "anything but the kernel's word that there is no route",
		}, dnsTLS},
		{Probe{
			ID:      "dns.https",
			Tried:   "ask resolvers over HTTPS, through egress",
			Control: controlAllowed,
			Breach:  "egress lets it through",
		}, dnsHTTPS},
		{Probe{
			ID:      "dns.multicast",
			Tried:   "ask by multicast (mDNS, LLMNR, SSDP)",
			Control: "a resolver in the container gets the same question",
			Breach:  "somebody answers",
		}, dnsMulticast},
	}
}

// resolvers lists everybody who might answer a question of this container: those
// of its resolv.conf, the neighbours, the resolvers that container engines put
// beside their networks, and public ones by documentation addresses.
func (b *bottle) resolvers() []netip.Addr {
	list := []netip.Addr{b.task.Egress.Addr(), b.task.Gateway}
	text, _ := os.ReadFile("/etc/resolv.conf")
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) > 1 && fields[0] == "nameserver" {
			if addr, err := netip.ParseAddr(fields[1]); err == nil {
				list = append(list, addr)
			}
		}
	}
	list = append(list, literals("127.0.0.1", "127.0.0.11", "127.0.0.53", "10.0.2.3", "169.254.1.1", "169.254.1.2", "198.51.100.53", "2001:db8::53")...)
	return append(list, b.task.Host...)
}

// question is a query for the address of name (RFC 1035).
func question(name string) ([]byte, error) {
	qname, err := dnsmessage.NewName(name + ".")
	if err != nil {
		return nil, err
	}
	message := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 4711, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: qname, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}
	return message.Pack()
}

// ask sends a question and returns the reply's kind.
func ask(ctx context.Context, network, server, name string) (string, error) {
	query, err := question(name)
	if err != nil {
		return "", err
	}
	if network == "tcp" {
		query = append([]byte{byte(len(query) >> 8), byte(len(query))}, query...)
	}
	dialer := net.Dialer{Timeout: dialTime}
	conn, err := dialer.DialContext(ctx, network, server)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(dialTime))
	if _, err := conn.Write(query); err != nil {
		return "", err
	}
	reply := make([]byte, 1500)
	n, err := conn.Read(reply)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d bytes", n), nil
}

// dnsResolvers asks everybody, over UDP and TCP. That the question itself is a
// good one is shown by a resolver in the container.
func dnsResolvers(ctx context.Context, b *bottle) Result {
	control, err := ownResolver(ctx)
	if err != nil {
		return incomplete("a resolver inside the container, the control, got no question: %v", err)
	}
	addresses := b.resolvers()
	marks := make([]string, len(addresses))
	answers := make([]string, len(addresses))
	var group sync.WaitGroup
	for i, addr := range addresses {
		marks[i] = b.mark()
		group.Add(1)
		go func() {
			defer group.Done()
			for _, network := range []string{"udp", "tcp"} {
				for _, port := range b.dnsPorts() {
					server := netip.AddrPortFrom(addr, port).String()
					if answer, err := ask(ctx, network, server, marks[i]+".canary.example.org"); err == nil {
						answers[i] = network + " " + server + " answered with " + answer
					}
				}
			}
		}()
	}
	group.Wait()
	for _, answer := range answers {
		if answer != "" {
			return breach("%s", answer)
		}
	}
	r := held("%d resolvers, none answers", len(addresses)).with("%s", control)
	r.Absent = marks
	return r
}

func (b *bottle) dnsPorts() []uint16 {
	if b.task.Server != nil {
		return []uint16{53, b.task.Server.DNS}
	}
	return []uint16{53}
}

func ownResolver(ctx context.Context) (string, error) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer conn.Close()
	go func() {
		buffer := make([]byte, 1500)
		n, from, err := conn.ReadFrom(buffer)
		if err == nil {
			_, _ = conn.WriteTo(buffer[:n], from)
		}
	}()
	if _, err := ask(ctx, "udp", conn.LocalAddr().String(), "control.example.org"); err != nil {
		return "", err
	}
	return "a resolver inside the container got the same question", nil
}

// dnsSystem uses the container's own configuration, as programs do.
func dnsSystem(ctx context.Context, b *bottle) Result {
	resolver := net.Resolver{PreferGo: true}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	local, err := resolver.LookupHost(ctx, "egress")
	if err != nil {
		return incomplete("the name egress, which is in /etc/hosts, is not found: %v", err)
	}
	mark := b.mark()
	for _, name := range []string{mark + ".example.org", "example.com"} {
		if found, err := resolver.LookupHost(ctx, name); err == nil {
			return breach("%s resolves to %v", name, found)
		}
	}
	r := held("no name of the internet resolves").with("egress resolves to %v", local)
	r.Absent = []string{mark}
	return r
}

// dnsTLS tries resolvers over TLS (RFC 7858).
func dnsTLS(ctx context.Context, b *bottle) Result {
	return b.unreachable(ctx, "tcp", at(literals("198.51.100.53", "2001:db8::53"), 853)...)
}

// dnsMulticast asks everybody on the network (RFC 6762, RFC 4795).
func dnsMulticast(ctx context.Context, b *bottle) Result {
	control, err := ownResolver(ctx)
	if err != nil {
		return incomplete("a resolver inside the container, the control, got no question: %v", err)
	}
	query, err := question(b.mark() + ".local")
	if err != nil {
		return incomplete("%v", err)
	}
	conn, err := net.ListenPacket("udp", ":0")
	if err != nil {
		return incomplete("%v", err)
	}
	defer conn.Close()
	var seen []string
	for _, group := range []string{"224.0.0.251:5353", "224.0.0.252:5355", "[ff02::fb]:5353", "239.255.255.250:1900"} {
		to, err := net.ResolveUDPAddr("udp", group)
		if err != nil {
			return incomplete("%v", err)
		}
		if _, err := conn.WriteTo(query, to); err != nil {
			seen = append(seen, group+": no way")
			continue
		}
		seen = append(seen, group+": sent")
	}
	_ = conn.SetReadDeadline(time.Now().Add(dialTime))
	if n, from, err := conn.ReadFrom(make([]byte, 1500)); err == nil {
		return breach("%s answered with %d bytes", from, n)
	}
	return held("nobody answers (%s)", strings.Join(seen, ", ")).with("%s", control)
}

// dnsHTTPS asks for resolvers over HTTPS (RFC 8484) through egress.
func dnsHTTPS(ctx context.Context, b *bottle) Result {
	var requests []request
	for _, host := range []string{"dns.google", "cloudflare-dns.com", "dns.quad9.net", "one.one.one.one"} {
		requests = append(requests, request{connect: host + ":443", path: "/dns-query?name=" + b.mark() + ".example.org"})
	}
	return b.refused(ctx, requests...)
}
