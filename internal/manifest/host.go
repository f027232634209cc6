package manifest

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/podbottle/podbottle/internal/egress"
)

// ParseHost normalises the host of a route: lower case, A-labels, no trailing
// dot. "*.example.org" stands for every name below example.org. port is 0 when
// the text names none, or one that every route has (80 and 443).
func ParseHost(s string) (host string, port int, err error) {
	if strings.ContainsAny(s, "/@?#") {
		return "", 0, errors.New("the host must be a name without scheme, user or path, such as api.example.org")
	}
	if _, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return "", 0, egress.ErrIPLiteral
	}
	name := s
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		name = s[:i]
		port, err = strconv.Atoi(s[i+1:])
		if err != nil || port < 1 || port > 65535 || strings.ContainsAny(s[i+1:], "+-") {
			return "", 0, errors.New("the host has a port that is not a number from 1 to 65535")
		}
		if port == 80 || port == 443 {
			port = 0
		}
	}
	base, wildcard := strings.CutPrefix(name, "*.")
	if strings.Contains(base, "*") {
		return "", 0, errors.New("the host may have a wildcard only as its whole first label, such as *.example.org")
	}
	host, err = normalize(base)
	if err != nil {
		return "", 0, err
	}
	if !wildcard {
		return host, port, nil
	}
	if !strings.Contains(host, ".") {
		return "", 0, errors.New("the host has a wildcard for a whole top-level domain; name two labels or more, such as *.example.org")
	}
	return "*." + host, port, nil
}

// normalize gives a name the form in which egress compares hosts.
func normalize(name string) (string, error) {
	if !utf8.ValidString(name) {
		return "", errors.New("the host is not UTF-8 text")
	}
	host, err := egress.NormalizeHost(name)
	if err != nil {
		return "", err
	}
	// What a second round changes has no one form.
	if again, err := egress.NormalizeHost(host); err != nil || again != host {
		return "", errors.New("the host is no valid internationalised name")
	}
	return host, nil
}
