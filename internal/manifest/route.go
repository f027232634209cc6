package manifest

import (
	"fmt"
	"net/http"
	"net/netip"
	"path"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
	"gopkg.in/yaml.v3"

	"github.com/podbottle/podbottle/internal/egress"
)

// Route is one checked and normalised entry of egress.routes.
type Route struct {
	Host            string // as ParseHost gives it
	Port            int    // 0 for none besides 80 and 443
	PathAllowlist   []string
	Matches         []MatchBlock // with types filled in and methods in upper case
	Auth            *AuthBlock
	Roles           []string
	TLSPassthrough  bool
	SSRFIPAllowlist []netip.Prefix
	GitFetch        bool
	AllowReflection bool
	// Position is the file and line of the entry, for messages.
	Position string
}

// equal compares everything but the position.
func (r Route) equal(o Route) bool {
	r.Position, o.Position = "", ""
	return fmt.Sprintf("%+v %+v", r, deref(r.Auth)) == fmt.Sprintf("%+v %+v", o, deref(o.Auth))
}

func deref(a *AuthBlock) AuthBlock {
	if a == nil {
		return AuthBlock{}
	}
	return *a
}

// routeParser checks one entry; node finds its parts for the messages.
type routeParser struct {
	d    *document
	path []any
}

func (p routeParser) node(more ...any) *yaml.Node {
	return p.d.at(append(slices.Clone(p.path), more...)...)
}

func (p routeParser) errorf(n *yaml.Node, format string, args ...any) error {
	return p.d.errorf(n, fmt.Sprintf("egress.routes[%d]: ", p.path[2])+format, args...)
}

func (d *document) routes(block *EgressBlock) ([]Route, error) {
	if block == nil {
		return nil, nil
	}
	routes := make([]Route, 0, len(block.Routes))
	for i, b := range block.Routes {
		p := routeParser{d: d, path: []any{"egress", "routes", i}}
		route, err := p.parse(b)
		if err != nil {
			return nil, err
		}
		if at := slices.IndexFunc(routes, func(r Route) bool { return r.Host == route.Host }); at >= 0 {
			return nil, p.errorf(p.node("host"), "host %s is already at %s; join the two routes", route.Host, routes[at].Position)
		}
		routes = append(routes, route)
	}
	return routes, nil
}

func (p routeParser) parse(b RouteBlock) (Route, error) {
	host, port, err := ParseHost(b.Host)
	if err != nil {
		return Route{}, p.errorf(p.node("host"), "%v (it is %q)", err, b.Host)
	}
	r := Route{
		Host:          host,
		Port:          port,
		PathAllowlist: b.PathAllowlist,
		Roles:         b.Role,
		GitFetch:      b.Git != nil && b.Git.Fetch,
		Position:      fmt.Sprintf("%s:%d", p.d.file, p.node().Line),
	}
	for i, prefix := range b.PathAllowlist {
		if err := checkPath(prefix); err != nil {
			return Route{}, p.errorf(p.node("path_allowlist", i), "path_allowlist: %v", err)
		}
	}
	if r.Matches, err = p.matches(b.Matches); err != nil {
		return Route{}, err
	}
	if r.Auth, err = p.auth(b.Auth); err != nil {
		return Route{}, err
	}
	if b.Pipelock != nil {
		r.TLSPassthrough = b.Pipelock.TLSPassthrough
		if r.SSRFIPAllowlist, err = p.prefixes(b.Pipelock.SSRFIPAllowlist); err != nil {
			return Route{}, err
		}
	}
	switch b.Reflection {
	case "", "redact":
	case "allow":
		r.AllowReflection = true
	default:
		return Route{}, p.errorf(p.node("reflection"), "reflection is %q; it is redact (the default) or allow", b.Reflection)
	}
	return r, nil
}

// checkPath wants a path as egress compares it: absolute, decoded, without dot segments.
func checkPath(s string) error {
	switch {
	case !strings.HasPrefix(s, "/"):
		return fmt.Errorf("%q must begin with /", s)
	case strings.ContainsAny(s, "?#"):
		return fmt.Errorf("%q is more than a path: queries are not compared", s)
	case strings.Contains(s, "%"):
		return fmt.Errorf("%q is compared with the decoded path; write the character itself", s)
	case strings.Contains(s, `\`) || strings.IndexFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f }) >= 0:
		return fmt.Errorf("%q holds a character that no path can match", s)
	case strings.Contains(s, "//") || path.Clean(s) != strings.TrimSuffix(s, "/") && s != "/":
		return fmt.Errorf("%q has empty or dot segments; write %q", s, path.Clean(s))
	}
	return nil
}

func (p routeParser) auth(b *AuthBlock) (*AuthBlock, error) {
	n := p.node("auth")
	switch {
	case b == nil && child(p.node(), "auth") == nil:
		return nil, nil
	case b == nil || (b.Scheme == "" && b.TokenRef == ""):
		return nil, p.errorf(n, "auth is empty; give scheme and token_ref, or leave auth out")
	case b.Scheme == "":
		return nil, p.errorf(n, "auth has no scheme; it is Bearer, token, basic or header")
	case b.TokenRef == "":
		return nil, p.errorf(n, "auth has no token_ref; it names the variable of the host that holds the credential")
	case !slices.Contains([]string{"Bearer", "token", "basic", "header"}, b.Scheme):
		return nil, p.errorf(p.node("auth", "scheme"), "auth.scheme is %q; it is Bearer, token, basic or header", b.Scheme)
	case !ValidVariable(b.TokenRef):
		return nil, p.errorf(p.node("auth", "token_ref"), "auth.token_ref must be the name of a variable of the host, not a credential")
	case b.Scheme != "header" && b.Header != "":
		return nil, p.errorf(p.node("auth", "header"), "auth.header goes only with scheme: header")
	case b.Scheme == "header" && b.Header == "":
		return nil, p.errorf(n, "auth.scheme is header, so auth.header must name the header")
	case b.Scheme == "header" && !injectable(b.Header):
		return nil, p.errorf(p.node("auth", "header"), "auth.header is %q, which is not a header that can carry a credential", b.Header)
	}
	return b, nil
}

// injectable refuses names that are no header, and headers that steer the connection itself.
func injectable(name string) bool {
	if !httpguts.ValidHeaderFieldName(name) {
		return false
	}
	switch http.CanonicalHeaderKey(name) {
	case "Host", "Content-Length", "Content-Type", "Content-Encoding", "Transfer-Encoding", "Connection", "Keep-Alive",
		"Upgrade", "Te", "Trailer", "Expect", "Proxy-Authorization", "Proxy-Connection":
		return false
	}
	return true
}

func (p routeParser) prefixes(list []string) ([]netip.Prefix, error) {
	prefixes := make([]netip.Prefix, 0, len(list))
	for i, s := range list {
		prefix, err := parsePrefix(s)
		if err != nil {
			return nil, p.errorf(p.node("pipelock", "ssrf_ip_allowlist", i), "pipelock.ssrf_ip_allowlist: %v", err)
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return netip.Prefix{}, fmt.Errorf("%q is not an address range such as 100.64.0.0/10", s)
	case prefix.Masked() != prefix:
		return netip.Prefix{}, fmt.Errorf("%q has bits set outside of its prefix; write %s", s, prefix.Masked())
	case prefix.Bits() == 0:
		return netip.Prefix{}, fmt.Errorf("%q is every address there is; name the range", s)
	}
	return prefix, nil
}

func (p routeParser) matches(blocks []MatchBlock) ([]MatchBlock, error) {
	for i, b := range blocks {
		if len(b.Paths)+len(b.Methods)+len(b.Headers) == 0 {
			return nil, p.errorf(p.node("matches", i), "matches[%d] has no condition; give paths, methods or headers", i)
		}
		for j, m := range b.Paths {
			checked, err := checkPathMatch(m)
			if err != nil {
				return nil, p.errorf(p.node("matches", i, "paths", j), "matches[%d].paths: %v", i, err)
			}
			b.Paths[j] = checked
		}
		for j, m := range b.Methods {
			b.Methods[j] = strings.ToUpper(m)
			if !isMethod(b.Methods[j]) {
				return nil, p.errorf(p.node("matches", i, "methods", j), "matches[%d].methods: %q is not a method", i, m)
			}
		}
		for j, h := range b.Headers {
			if !httpguts.ValidHeaderFieldName(h.Name) || !httpguts.ValidHeaderFieldValue(h.Value) {
				return nil, p.errorf(p.node("matches", i, "headers", j), "matches[%d].headers: %q: %q is not a header", i, h.Name, h.Value)
			}
		}
	}
	return blocks, nil
}

// isMethod accepts what methods are called in practice: GET, M-SEARCH.
func isMethod(s string) bool {
	return s != "" && len(s) <= 32 && s[0] >= 'A' && s[0] <= 'Z' && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == ""
}

func checkPathMatch(m PathMatchBlock) (PathMatchBlock, error) {
	switch m.Type {
	case "":
		m.Type = "prefix"
		return m, checkPath(m.Value)
	case "prefix", "exact":
		return m, checkPath(m.Value)
	case "regex":
		if _, err := egress.PathMatch(m).Regexp(); err != nil || m.Value == "" {
			return m, fmt.Errorf("%q is not a regular expression in the syntax of RE2", m.Value)
		}
		return m, nil
	default:
		return m, fmt.Errorf("type is %q; it is prefix, exact or regex", m.Type)
	}
}
