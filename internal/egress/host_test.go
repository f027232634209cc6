package egress

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
)

func TestNormalizeHost(t *testing.T) {
	tests := []struct{ in, want string }{
		{"api.example.org", "api.example.org"},
		{"API.Example.ORG", "api.example.org"},
		{"api.example.org.", "api.example.org"},
		{"localhost", "localhost"},
		{"_egress.local", "_egress.local"},
		{"a-b--c.example", "a-b--c.example"},
		{"bücher.example", "xn--bcher-kva.example"},
		{"XN--BCHER-KVA.example", "xn--bcher-kva.example"},
		{"faß.example", "xn--fa-hia.example"},
		{"1.2.3.4.example", "1.2.3.4.example"},
		{strings.Repeat("a", 63) + ".example", strings.Repeat("a", 63) + ".example"},
	}
	for _, tt := range tests {
		if got, err := NormalizeHost(tt.in); got != tt.want || err != nil {
			t.Errorf("NormalizeHost(%q) = %q, %v; want %q", tt.in, got, err, tt.want)
		}
	}
}

func TestNormalizeHostRefuses(t *testing.T) {
	addresses := []string{
		"127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.0.0x1", "0x7f.1", "1.2.3.4.",
		"::1", "::ffff:127.0.0.1", "fe80::1", "１２７.０.０.１", "127。0。0。1",
	}
	for _, host := range addresses {
		if got, err := NormalizeHost(host); !errors.Is(err, ErrIPLiteral) {
			t.Errorf("NormalizeHost(%q) = %q, %v; want ErrIPLiteral", host, got, err)
		}
	}
	others := []string{
		"", ".", "..", "a..b", ".a", "a..", "a b", "a\x00.example.org", "example.org\x00.evil.org", "a\r\nb", "a\tb", "a/b", `a\b`,
		"a?b", "a#b", "user@example.org", "a%2eb", "[::1]", "a:b:c", "*.example.org", "a,b", "a;b", "a'b",
		strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 130) + "a", strings.Repeat("x", 5000),
		"xn--a.example", "xn--zzzzzzzzzzz99999.example", "a\u200db.example", "a\u202eb.example", "\xff.example",
	}
	for _, host := range others {
		if got, err := NormalizeHost(host); err == nil {
			t.Errorf("NormalizeHost(%q) = %q, want an error", host, got)
		}
	}
}

func TestParseAuthority(t *testing.T) {
	if host, port, err := ParseAuthority("Example.ORG.:8443"); host != "example.org" || port != 8443 || err != nil {
		t.Errorf("got %q %d %v", host, port, err)
	}
	for _, bad := range []string{"", "h", "h:", ":443", "h:0", "h:65536", "h:-1", "h:+1", "h:4 43", "h:443x", "h:0x1bb", "h:443:443", "[::1]:443", "[h]:443", "::1:443", "127.0.0.1:443", "h:443\r\n", "h:٤٤٣"} {
		if host, port, err := ParseAuthority(bad); err == nil {
			t.Errorf("ParseAuthority(%q) = %q, %d", bad, host, port)
		}
	}
}

func TestParseHostPort(t *testing.T) {
	for _, tt := range []struct {
		in, host string
		port     int
	}{{"h.example", "h.example", 443}, {"h.example:80", "h.example", 80}} {
		if host, port, err := ParseHostPort(tt.in, 443); host != tt.host || port != tt.port || err != nil {
			t.Errorf("ParseHostPort(%q) = %q, %d, %v", tt.in, host, port, err)
		}
	}
	for _, bad := range []string{"", "::1", "[::1]", "1.2.3.4", "1.2.3.4:80", "h:"} {
		if host, port, err := ParseHostPort(bad, 443); err == nil {
			t.Errorf("ParseHostPort(%q) = %q, %d", bad, host, port)
		}
	}
}

// FuzzParseAuthority wants every host that is let through to be a plain name that
// stays the same when it is read again, and that no resolver takes for an address.
func FuzzParseAuthority(f *testing.F) {
	for _, seed := range []string{"example.org:443", "bücher.example:80", "0x7f.1:443", "[::1]:443", "a\x00b:1", "XN--BCHER-KVA.example.:65535"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, authority string) {
		host, port, err := ParseAuthority(authority)
		if err != nil {
			return
		}
		if port < 1 || port > 65535 {
			t.Errorf("port %d", port)
		}
		if len(host) > 253 || strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" || strings.Contains(host, "..") || strings.HasSuffix(host, ".") {
			t.Errorf("%q became the host %q", authority, host)
		}
		if _, err := netip.ParseAddr(host); err == nil {
			t.Errorf("%q became the address %s", authority, host)
		}
		again, port2, err := ParseAuthority(net.JoinHostPort(host, strconv.Itoa(port)))
		if again != host || port2 != port || err != nil {
			t.Errorf("%q became %q, and that %q, %d, %v", authority, host, again, port2, err)
		}
	})
}
