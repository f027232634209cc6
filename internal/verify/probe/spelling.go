package probe

import (
	"context"
	"fmt"
)

// metadataHosts are the addresses of cloud metadata services and of loopback, in
// the spellings that some resolver or dialler takes for the same: dotted, short,
// decimal, octal, hexadecimal, mapped, compatible, translated (RFC 6052), 6to4
// (RFC 3056), with a zone, full-width, with a trailing dot, and by name.
var metadataHosts = []string{
	"169.254.169.254", "169.254.169.254.", "2852039166", "0xa9fea9fe", "0xA9.0xFE.0xA9.0xFE", "0251.0376.0251.0376",
	"025177524776", "169.254.43518", "169.16689662", "0169.0254.0169.0254", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]",
	"[::169.254.169.254]", "[64:ff9b::169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::1]", "[fd00:ec2::254]",
	"[fe80::a9fe:a9fe%25int0]", "１６９.２５４.１６９.２５４", "①⑥⑨.②⑤④.①⑥⑨.②⑤④", "100.100.100.200", "192.0.0.192", "168.63.129.16",
	"metadata.google.internal", "metadata", "instance-data", "169.254.169.254.nip.io",
}

var loopbackHosts = []string{
	"127.0.0.1", "127.1", "127.0.1", "0", "0.0.0.0", "0x7f.1", "0x7f000001", "2130706433", "017700000001", "0177.0.0.1", "127.0.0.1.",
	"[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "localhost", "localhost.", "LOCALHOST",
	"localhost.localdomain", "ip6-localhost", "localtest.me", "127.0.0.1.nip.io", "host.containers.internal", "host.docker.internal",
	"gateway.docker.internal", "10.0.2.2", "169.254.1.2", "testhost", "[::1%25lo]", "１２７.０.０.１", "127。0。0。1",
}

// refuseHosts asks egress for each host, in a tunnel and in absolute form.
func (b *bottle) refuseHosts(ctx context.Context, hosts []string, ports ...uint16) Result {
	var requests []request
	for _, host := range hosts {
		for _, port := range ports {
			authority := fmt.Sprintf("%s:%d", host, port)
			requests = append(requests, request{connect: authority, plain: port != 443, path: "/latest/meta-data/" + b.mark()})
		}
		requests = append(requests, absoluteForm(host, "/latest/meta-data/"+b.mark(), host))
	}
	return b.refused(ctx, requests...)
}
