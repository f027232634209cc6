package probe

import (
	"context"
	"fmt"
	"net"
	"strings"
)

func egressProbes() []inside {
	return []inside{
		{Probe{
			ID:      "egress.unlisted",
			Tried:   "ask for hosts that no route has, and for such that look like the allowed one",
			Control: controlAllowed,
			Breach:  "one is answered",
		}, egressUnlisted},
		{Probe{
			ID:      "egress.fronting",
			Tried:   "name one host in CONNECT and another in the server name, the Host header or the target",
			Control: controlAllowed,
			Breach:  "one is answered",
			Server:  true,
		}, egressFronting},
		{Probe{
			ID:      "egress.ports",
			Tried:   "ask for ports of the allowed host that its route does not have",
			Control: controlAllowed,
			Breach:  "one is answered",
			Server:  true,
		}, egressPorts},
		{Probe{
			ID:      "egress.hosts",
			Tried:   "send hosts with NUL, CR, LF, user parts, over-long and mapped labels",
			Control: controlAllowed,
			Breach:  "one is answered, or reaches a server",
			Server:  true,
		}, egressHosts},
		{Probe{
			ID:      "egress.paths",
			Tried:   "leave the route's path_allowlist by dots, slashes, backslashes, escapes and parameters",
			Control: controlAllowed,
			Breach:  "a server gets a path that is not allowed",
			Server:  true,
		}, egressPaths},
		{Probe{
			ID:      "egress.smuggling",
			Tried:   "hide a request in the body of another by Content-Length, Transfer-Encoding, line ends and upgrades",
			Control: controlAllowed,
			Breach:  "a server gets the hidden request",
			Server:  true,
		}, egressSmuggling},
		{Probe{
			ID:      "egress.http2",
			Tried:   "send HTTP/2 pseudo-header fields that name another host or hold line ends",
			Control: "an ordinary HTTP/2 request is answered",
			Breach:  "a server gets one for another host or path",
			Server:  true,
		}, egressHTTP2},
		{Probe{
			ID:      "egress.methods",
			Tried:   "TRACE, CONNECT in a tunnel, the metrics, and changes of the route table",
			Control: controlAllowed,
			Breach:  "one is answered",
			Server:  true,
		}, egressMethods},
		{Probe{
			ID:      "egress.push",
			Tried:   "push to git and LFS over HTTPS, around git-gate",
			Control: controlAllowed,
			Breach:  "one reaches a server",
			Server:  true,
		}, egressPush},
		{Probe{
			ID:      "egress.special",
			Tried:   "ask for an allowed name that resolves to the loopback of the pod, where the metrics listen",
			Control: controlAllowed,
			Breach:  "the firewall connects",
			Server:  true,
		}, egressSpecial},
	}
}

// egressUnlisted asks for names that no route has.
func egressUnlisted(ctx context.Context, b *bottle) Result {
	s := b.task.Server
	if s == nil {
		return b.refused(ctx, request{connect: "unlisted.podbottle.example:443", path: "/" + b.mark()})
	}
	port := fmt.Sprint(s.Port)
	var requests []request
	for _, host := range []string{
		s.Unlisted, "sub." + s.Allowed, "x" + s.Allowed, s.Allowed + ".example.org", s.Allowed[1:], strings.ReplaceAll(s.Allowed, ".", "-"), "*." + s.Allowed,
	} {
		requests = append(requests,
			request{connect: net.JoinHostPort(host, port), path: "/open/" + b.mark()},
			request{connect: net.JoinHostPort(host, "443"), path: "/open/" + b.mark()},
			absoluteForm(net.JoinHostPort(host, port), "/open/"+b.mark(), host))
	}
	return b.refused(ctx, requests...)
}

// egressFronting opens tunnels to the allowed host and names another inside.
func egressFronting(ctx context.Context, b *bottle) Result {
	s, target := b.task.Server, b.target()
	other := net.JoinHostPort(s.Unlisted, fmt.Sprint(s.Port))
	path := func() string { return "/open/" + b.mark() }
	return b.refused(ctx,
		request{connect: target, sni: s.Unlisted, path: path()},
		request{connect: target, sni: "-", path: path()},
		request{connect: target, host: other, path: path()},
		request{connect: target, host: s.Unlisted, path: path()},
		request{connect: target, host: s.Allowed + ":443", path: path()}, // another port
		request{connect: target, sni: s.Guarded, host: s.Guarded, path: path()},
		request{connect: target, path: "https://" + other + path()},
		request{connect: target, host: "", header: "Host: " + other + "\r\n", path: path()},
		request{connect: other, sni: s.Allowed, host: target, path: path()},
		request{connect: target, plain: true, host: other, path: path()},
		absoluteForm(other, path(), target),
	)
}

// egressPorts asks for ports of the allowed host that its route does not have.
func egressPorts(ctx context.Context, b *bottle) Result {
	s := b.task.Server
	var requests []request
	for _, port := range []string{
		fmt.Sprint(s.Other), fmt.Sprint(s.DNS), "22", "25", "53", "853", "9418",
		"0", "65536", "+443", "0443x", "", "443:80", fmt.Sprint(s.Port) + " ", // no port at all
	} {
		requests = append(requests, request{connect: s.Allowed + ":" + port, path: "/open/" + b.mark()})
	}
	requests = append(requests, absoluteForm(net.JoinHostPort(s.Allowed, fmt.Sprint(s.Other)), "/open/"+b.mark(), s.Allowed))
	return b.refused(ctx, requests...)
}

// egressHosts sends hosts with characters that some part might cut the name at.
func egressHosts(ctx context.Context, b *bottle) Result {
	s := b.task.Server
	label := strings.Repeat("a", 64)
	var requests []request
	for _, host := range []string{
		s.Unlisted + "\x00." + s.Allowed, s.Allowed + "\x00", s.Allowed + "\x00." + s.Unlisted, s.Unlisted + "%00." + s.Allowed, s.Unlisted + "#." + s.Allowed,
		s.Unlisted + "/." + s.Allowed, s.Unlisted + "?." + s.Allowed, s.Unlisted + "\\." + s.Allowed, s.Allowed + "@" + s.Unlisted, s.Unlisted + "@" + s.Allowed,
		s.Allowed + "..", "." + s.Allowed, s.Unlisted + "\r\nHost: " + s.Allowed, s.Unlisted + "\n" + s.Allowed, s.Unlisted + "\t" + s.Allowed,
		label + "." + s.Allowed, strings.Repeat("a.", 130) + s.Allowed, s.Unlisted + "。" + s.Allowed, "ａ" + s.Allowed, "xn--zzzzzzzz99999." + s.Allowed,
	} {
		authority := host + ":" + fmt.Sprint(s.Port)
		requests = append(requests,
			request{raw: "CONNECT " + authority + " HTTP/1.1\r\nHost: " + authority + "\r\n\r\n"},
			request{connect: b.target(), host: authority, path: "/open/" + b.mark()},
			absoluteForm(authority, "/open/"+b.mark(), authority))
	}
	return b.refused(ctx, requests...)
}

// egressMethods tries the methods that reach around a proxy.
func egressMethods(ctx context.Context, b *bottle) Result {
	target := b.target()
	return b.refused(ctx,
		request{connect: target, method: "TRACE", path: "/open/" + b.mark()},
		request{connect: target, raw: "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n\r\n"},
		request{raw: "TRACE http://" + target + "/open/" + b.mark() + " HTTP/1.1\r\nHost: " + target + "\r\n\r\n"},
		request{raw: "GET /metrics HTTP/1.1\r\nHost: " + b.task.Egress.String() + "\r\n\r\n"},
		request{raw: "PUT http://_egress.local/allowlist HTTP/1.1\r\nHost: _egress.local\r\nContent-Length: 2\r\n\r\n[]"},
		request{raw: "POST http://_egress.local/routes HTTP/1.1\r\nHost: _egress.local\r\nContent-Length: 2\r\n\r\n[]"},
		request{raw: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
	)
}

// egressPush tries to push around git-gate.
func egressPush(ctx context.Context, b *bottle) Result {
	target := b.target()
	return b.refused(ctx,
		request{connect: target, path: "/open/r.git/info/refs?service=git-receive-pack&x=" + b.mark()},
		request{connect: target, path: "/open/r.git/info/refs?service=git%2Dreceive%2Dpack&x=" + b.mark()},
		request{connect: target, method: "POST", path: "/open/r.git/git-receive-pack?" + b.mark(), body: "0000"},
		request{connect: target, method: "POST", path: "/open/r.git/%67it-receive-pack?" + b.mark(), body: "0000"},
		request{connect: target, method: "POST", path: "/open/r.git/info/lfs/objects/batch?" + b.mark(), body: "{}"},
	)
}

// egressSpecial asks for an allowed name whose address is the pod's own loopback,
// where the metrics listen: here the firewall, not egress, has to refuse.
func egressSpecial(ctx context.Context, b *bottle) Result {
	target := net.JoinHostPort(b.task.Server.Guarded, fmt.Sprint(b.task.Server.GuardedPort))
	return b.refused(ctx, request{connect: target, plain: true, path: "/open/" + b.mark()}, request{connect: target, path: "/open/" + b.mark()})
}
