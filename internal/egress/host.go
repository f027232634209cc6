package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// maxHost is the longest host name in its textual form (RFC 1035, section 2.3.4).
const maxHost = 253

// ErrIPLiteral is returned for an IP address, in whatever spelling, where only a
// name can be matched against a route.
var ErrIPLiteral = errors.New("an IP address is not a host name")

// NormalizeHost returns name in the one form in which hosts are compared:
// lower-case, with A-labels, without the root's trailing dot. It refuses what
// could be read as an address by some resolver (dotted, short, octal and
// hexadecimal IPv4 forms, IPv6), empty and over-long labels, and every character
// that is not part of a host name. "_egress.local" style underscores are allowed
// because real names have them.
func NormalizeHost(name string) (string, error) {
	if name == "" {
		return "", errors.New("the host is empty")
	}
	if len(name) > 4*maxHost {
		return "", errors.New("the host is too long")
	}
	if !utf8.ValidString(name) {
		return "", errors.New("the host is not UTF-8")
	}
	if i := strings.IndexFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`/\?#@%[]<>"^|{}`+"`", r) }); i >= 0 {
		return "", fmt.Errorf("the host holds the character %q", name[i])
	}
	if strings.ContainsRune(name, ':') {
		return "", ErrIPLiteral
	}
	ascii, err := toASCII(strings.TrimSuffix(name, "."))
	if err != nil {
		return "", err
	}
	if len(ascii) > maxHost {
		return "", fmt.Errorf("the host is longer than %d characters", maxHost)
	}
	labels := strings.Split(ascii, ".")
	for _, label := range labels {
		if err := checkLabel(label); err != nil {
			return "", err
		}
	}
	if isNumeric(labels[len(labels)-1]) {
		return "", ErrIPLiteral
	}
	return ascii, nil
}

// toASCII lower-cases and maps to A-labels. A name that is ASCII already keeps
// its shape, so that underscores and hyphens in unusual places survive; its
// "xn--" labels are still checked.
func toASCII(name string) (string, error) {
	lower := strings.ToLower(name)
	ascii := strings.IndexFunc(name, func(r rune) bool { return r >= 0x80 }) < 0
	if ascii && !strings.Contains(lower, "xn--") {
		return lower, nil
	}
	mapped, err := idna.Lookup.ToASCII(name)
	if err != nil {
		return "", fmt.Errorf("the host is no valid internationalised name: %w", err)
	}
	return mapped, nil
}

func checkLabel(label string) error {
	switch {
	case label == "":
		return errors.New("the host has an empty label")
	case len(label) > 63:
		return errors.New("a label of the host is longer than 63 characters")
	}
	for i := range len(label) {
		c := label[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return fmt.Errorf("the host holds the character %q", c)
		}
	}
	return nil
}

// isNumeric reports whether a last label makes the whole name an IPv4 address to
// the parser of the WHATWG URL standard or to inet_aton: digits, or 0x and hex
// digits. No top-level domain looks like that (RFC 3696, section 2).
func isNumeric(label string) bool {
	if strings.Trim(label, "0123456789") == "" {
		return true
	}
	hex, ok := strings.CutPrefix(label, "0x")
	return ok && strings.Trim(hex, "0123456789abcdef") == ""
}

// ParseAuthority splits "host:port" as it stands in CONNECT (RFC 9110, section
// 9.3.6) and normalises the host. Both parts are required.
func ParseAuthority(authority string) (host string, port int, err error) {
	i := strings.LastIndexByte(authority, ':')
	if i < 0 {
		return "", 0, errors.New("the port is missing")
	}
	if strings.HasPrefix(authority, "[") {
		return "", 0, ErrIPLiteral
	}
	if port, err = parsePort(authority[i+1:]); err != nil {
		return "", 0, err
	}
	if host, err = NormalizeHost(authority[:i]); err != nil {
		return "", 0, err
	}
	return host, port, nil
}

// ParseHostPort splits the value of a Host header or of :authority, where the
// port may be left out.
func ParseHostPort(value string, defaultPort int) (host string, port int, err error) {
	if _, err := netip.ParseAddr(value); err == nil {
		return "", 0, ErrIPLiteral
	}
	if !strings.Contains(value, ":") {
		host, err = NormalizeHost(value)
		return host, defaultPort, err
	}
	return ParseAuthority(value)
}

func parsePort(s string) (int, error) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, errors.New("the port is no number")
	}
	port, err := strconv.ParseUint(s, 10, 16)
	if err != nil || port == 0 {
		return 0, errors.New("the port is out of range")
	}
	return int(port), nil
}
