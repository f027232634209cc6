package probe

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

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
			request{raw: "GET http://" + net.JoinHostPort(host, port) + "/open/" + b.mark() + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n"})
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
		request{raw: "GET http://" + other + path() + " HTTP/1.1\r\nHost: " + target + "\r\nConnection: close\r\n\r\n"},
	)
}

// egressPorts asks for ports of the allowed host that its route does not have.
func egressPorts(ctx context.Context, b *bottle) Result {
	s := b.task.Server
	var requests []request
	for _, port := range []string{fmt.Sprint(s.Other), fmt.Sprint(s.DNS), "22", "25", "53", "853", "9418", "0", "65536", "+443", "0443x", "", "443:80", fmt.Sprint(s.Port) + " "} {
		requests = append(requests, request{connect: s.Allowed + ":" + port, path: "/open/" + b.mark()})
	}
	requests = append(requests, request{raw: fmt.Sprintf("GET http://%s:%d/open/%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", s.Allowed, s.Other, b.mark(), s.Allowed)})
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
		mark := b.mark()
		authority := host + ":" + fmt.Sprint(s.Port)
		requests = append(requests,
			request{raw: "CONNECT " + authority + " HTTP/1.1\r\nHost: " + authority + "\r\n\r\n"},
			request{connect: b.target(), host: authority, path: "/open/" + mark},
			request{raw: "GET http://" + authority + "/open/" + b.mark() + " HTTP/1.1\r\nHost: " + authority + "\r\nConnection: close\r\n\r\n"})
	}
	return b.refusedOrTunnel(ctx, requests)
}

// refusedOrTunnel is refused for requests among which a CONNECT may be answered
// with 200: egress opens a tunnel to any name, and refuses inside it.
func (b *bottle) refusedOrTunnel(ctx context.Context, requests []request) Result {
	var rest []request
	for _, r := range requests {
		if strings.HasPrefix(r.raw, "CONNECT ") {
			if a := b.do(ctx, r); a.err == nil && a.status == http.StatusOK {
				return breach("%s opened a tunnel", describe(r))
			}
			continue
		}
		rest = append(rest, r)
	}
	return b.refused(ctx, rest...)
}

// egressPaths tries to get out of the route's path_allowlist, /open/ and /echo.
func egressPaths(ctx context.Context, b *bottle) Result {
	var requests []request
	for _, path := range []string{
		"/secret/%s", "/", "/OPEN/%s", "/open", "/open%%2f../secret/%s", "/open/../secret/%s", "/open/%%2e%%2e/secret/%s", "/open/.%%2e/secret/%s", "/open/%%252e%%252e/secret/%s",
		"/open/..%%2fsecret/%s", "/open/..%%5csecret/%s", "/open/..\\secret/%s", "/open//..//../secret/%s", "/open/..;/secret/%s", "/open/;/../secret/%s",
		"//secret/%s", "/./secret/%s", "/secret/%s?/open/", "/secret/%s#/open/", "/secret/%s;/open/", "/%%6fpen/../secret/%s", "/open/%%c0%%ae%%c0%%ae/secret/%s",
		"/open/\x00/../secret/%s", "/open/..%%00/secret/%s", "/open/%%u002e%%u002e/secret/%s", "*", "secret/%s", "/secret/%s/../open/", "/open/..%%252fsecret/%s",
	} {
		if strings.Contains(path, "%s") {
			path = fmt.Sprintf(path, b.mark())
		} else {
			path = strings.ReplaceAll(path, "%%", "%")
		}
		requests = append(requests, request{connect: b.target(), path: path})
	}
	return b.paths(ctx, requests)
}

// paths is refused for paths of which some are harmless once the dots are
// resolved: what counts is that no server got another path than was allowed.
func (b *bottle) paths(ctx context.Context, requests []request) Result {
	control, present, err := b.allowed(ctx)
	if err != nil {
		return incomplete("the control failed: %v", err)
	}
	let := 0
	var absent []string
	answers := b.all(ctx, requests)
	for i, r := range requests {
		a := answers[i]
		if a.through() && !strings.Contains(a.body, "path /open/") {
			return breach("path %q was answered with %s", r.path, a.text())
		}
		if a.through() {
			let++
			continue
		}
		absent = append(absent, b.marksIn(r)...)
	}
	result := held("%d paths, %d of them ended below /open/", len(requests), let).with("%s", control)
	result.Absent, result.Present = absent, []string{present}
	return result
}

// egressSmuggling sends requests whose end is not clear, each with another request
// in what might be its body (RFC 9112, section 11.2). The hidden ones carry the marks.
func egressSmuggling(ctx context.Context, b *bottle) Result {
	target := b.target()
	hidden := func() string {
		return "GET /secret/" + b.mark() + " HTTP/1.1\r\nHost: " + target + "\r\n\r\n"
	}
	start := func(lines string) string {
		return "POST /open/x HTTP/1.1\r\nHost: " + target + "\r\n" + lines + "\r\n"
	}
	var texts []string
	for _, lines := range []string{
		"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
		"Transfer-Encoding: xchunked\r\nContent-Length: 0\r\n", "Transfer-Encoding : chunked\r\n", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
		"Transfer-Encoding: identity, chunked\r\n", "Transfer-Encoding:\x0bchunked\r\n", "Content-Length: 0\r\nContent-Length: 60\r\n", "Content-Length: +0\r\n", "Content-Length: 0, 60\r\n",
		"X: y\r\n Transfer-Encoding: chunked\r\n", "Content-Length: 0x0\r\n",
	} {
		texts = append(texts, start(lines)+"0\r\n\r\n"+hidden())
	}
	texts = append(texts,
		"GET /open/x HTTP/1.1\r\nHost: "+target+"\r\nX: a\rGET /secret/"+b.mark()+" HTTP/1.1\r\n\r\n",
		"GET /open/x HTTP/1.1\nHost: "+target+"\n\n"+hidden(),
		"GET /open/x HTTP/1.1\r\nHost: "+target+"\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"+hidden(),
		"GET /open/x HTTP/0.9\r\nHost: "+target+"\r\n\r\n"+hidden(),
	)
	control, present, err := b.allowed(ctx)
	if err != nil {
		return incomplete("the control failed: %v", err)
	}
	seen := map[string]int{}
	var marks []string
	requests := make([]request, len(texts))
	for i, text := range texts {
		requests[i] = request{connect: target, raw: text, linger: true}
		marks = append(marks, b.marksIn(requests[i])...)
	}
	for _, a := range b.all(ctx, requests) {
		seen[a.kind()]++
	}
	result := held("no hidden request was made (%s)", tally(seen)).with("%s", control)
	result.Absent, result.Present = marks, []string{present}
	return result
}

// egressHTTP2 sends pseudo-header fields that no library would (RFC 9113, section 8.3).
func egressHTTP2(ctx context.Context, b *bottle) Result {
	control, present, err := b.allowed(ctx)
	if err != nil {
		return incomplete("the control failed: %v", err)
	}
	s, target := b.task.Server, b.target()
	other := net.JoinHostPort(s.Unlisted, fmt.Sprint(s.Port))
	good := func(path string) []hpack.HeaderField {
		return []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: target}, {Name: ":path", Value: path}}
	}
	first := b.mark()
	if status, err := b.h2(ctx, good("/open/"+first)); err != nil || status != "200" {
		return incomplete("an ordinary HTTP/2 request, the control, failed: %s %v", status, err)
	}
	change := func(i int, value string) []hpack.HeaderField {
		fields := good("/open/" + b.mark())
		fields[i].Value = value
		return fields
	}
	tries := [][]hpack.HeaderField{
		change(2, other), change(2, s.Unlisted), change(2, target+"\x00"), change(2, target+"\r\nhost: "+other), change(2, target+","+other),
		change(3, "/secret/"+b.mark()), change(3, "//secret/"+b.mark()), change(3, "https://"+other+"/secret/"+b.mark()), change(3, "/open/x HTTP/1.1\r\nhost: "+other+"\r\n\r\nGET /secret/"+b.mark()),
		change(0, "CONNECT"), change(0, "GET /secret/"+b.mark()+" HTTP/1.1\r\nx:"), change(1, "http://"+other+"/?"),
		append(good("/open/"+b.mark()), hpack.HeaderField{Name: "host", Value: other}),
		append(good("/open/"+b.mark()), hpack.HeaderField{Name: ":authority", Value: other}),
		append(good("/open/"+b.mark()), hpack.HeaderField{Name: "transfer-encoding", Value: "chunked"}),
		append(good("/open/"+b.mark()), hpack.HeaderField{Name: "x\r\nhost", Value: other}),
	}
	answered := 0
	for _, fields := range tries {
		if status, err := b.h2(ctx, fields); err == nil && strings.HasPrefix(status, "2") {
			answered++ // by the allowed host, or the server's marks say otherwise
		}
	}
	result := held("%d header lists, %d of them were answered as requests for the allowed host", len(tries), answered).with("%s; an ordinary HTTP/2 request too", control)
	result.Present = []string{present, first}
	for _, fields := range tries {
		for _, f := range fields {
			result.Absent = append(result.Absent, b.marksIn(request{path: f.Value})...)
		}
	}
	return result
}

// h2 sends one request of the given header fields and returns the status.
func (b *bottle) h2(ctx context.Context, fields []hpack.HeaderField) (string, error) {
	dialer := net.Dialer{Timeout: exchangeTime}
	conn, err := dialer.DialContext(ctx, "tcp", b.task.Egress.String())
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(exchangeTime))
	if a := tunnel(conn, b.target()); a.err != nil || a.status != http.StatusOK {
		return "", errors.New(a.text())
	}
	config, err := b.tlsConfig(b.task.Server.Allowed)
	if err != nil {
		return "", err
	}
	config.NextProtos = []string{http2.NextProtoTLS}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return "", err
	}
	if secure.ConnectionState().NegotiatedProtocol != http2.NextProtoTLS {
		return "", errors.New("egress did not choose HTTP/2")
	}
	if _, err := secure.Write([]byte(http2.ClientPreface)); err != nil {
		return "", err
	}
	framer := http2.NewFramer(secure, secure)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := framer.WriteSettings(); err != nil {
		return "", err
	}
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range fields {
		if err := encoder.WriteField(f); err != nil {
			return "", err
		}
	}
	if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true}); err != nil {
		return "", err
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return "", err
		}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			if f.StreamID == 1 {
				return f.PseudoValue("status"), nil
			}
		case *http2.RSTStreamFrame:
			return "", fmt.Errorf("stream reset: %v", f.ErrCode)
		case *http2.GoAwayFrame:
			return "", fmt.Errorf("connection ended: %v", f.ErrCode)
		}
	}
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

// secretReflected has the server send the credential back: in the body, a header,
// compressed, and as the target of a redirect.
func secretReflected(ctx context.Context, b *bottle) Result {
	var marks []string
	for _, kind := range []string{"body", "header", "gzip", "redirect", "chunks", "error"} {
		mark := b.mark()
		marks = append(marks, mark)
		for _, header := range []string{"", "Accept-Encoding: gzip\r\n", "Authorization: Bearer mine\r\n", "Range: bytes=10-\r\n"} {
			a := b.do(ctx, request{connect: b.target(), path: "/echo/" + kind + "/" + mark, header: header})
			if a.err != nil {
				return incomplete("GET /echo/%s: %s", kind, a.text())
			}
			for _, secret := range b.task.Secrets {
				if strings.Contains(a.body, secret) || strings.Contains(fmt.Sprint(a.header), secret) {
					return breach("the server's answer of the kind %s brought the credential back", kind)
				}
			}
		}
	}
	result := held("%d kinds of answers, the credential in none", len(marks)).with("the server got each request, with the credential in it")
	result.Present = marks
	return result
}
