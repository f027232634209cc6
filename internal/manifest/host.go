package manifest

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// hostProfile is UTS 46 as for look-ups, with the rules of RFC 1123 and the lengths of RFC 1035.
func hostProfile() *idna.Profile {
	return idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(true), idna.VerifyDNSLength(true), idna.Transitional(false))
}

// ParseHost normalises the host of a route: lower case, A-labels, no trailing
// dot. "*.example.org" stands for every name below example.org. port is 0 when
// the text names none, or one that every route has (80 and 443).
func ParseHost(s string) (host string, port int, err error) {
	if s == "" {
		return "", 0, errors.New("host is empty")
	}
	if strings.Contains(s, "://") || strings.ContainsAny(s, "/@?#[]") {
		return "", 0, errors.New("host must be a name without scheme, user or path, such as api.example.org")
	}
	name := s
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		name = s[:i]
		port, err = strconv.Atoi(s[i+1:])
		if err != nil || port < 1 || port > 65535 || strings.ContainsAny(s[i+1:], "+-") {
			return "", 0, errors.New("host has a port that is not a number from 1 to 65535")
		}
		if port == 80 || port == 443 {
			port = 0
		}
	}
	base, wildcard := strings.CutPrefix(name, "*.")
	if strings.Contains(base, "*") {
		return "", 0, errors.New("host may have a wildcard only as its whole first label, such as *.example.org")
	}
	host, err = idnaHost(base)
	if err != nil {
		return "", 0, err
	}
	if !wildcard {
		return host, port, nil
	}
	if !strings.Contains(host, ".") {
		return "", 0, errors.New("host has a wildcard for a whole top-level domain; name at least two labels after *.")
	}
	return "*." + host, port, nil
}

func idnaHost(name string) (string, error) {
	invalid := errors.New("host is not a valid domain name")
	if !utf8.ValidString(name) {
		return "", invalid // the mapping would put another character in its place
	}
	profile := hostProfile()
	host, err := profile.ToASCII(strings.TrimSuffix(name, "."))
	if err != nil || host == "" || strings.HasSuffix(host, ".") {
		return "", invalid
	}
	// What a second mapping changes has no one form that egress could compare with.
	if again, err := profile.ToASCII(host); err != nil || again != host {
		return "", invalid
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	if last[0] >= '0' && last[0] <= '9' {
		// Whatever ends in a number is an address to somebody (WHATWG URL, "ends in a number").
		return "", errors.New("host must be a name, not an address")
	}
	return host, nil
}
