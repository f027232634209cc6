package proxy

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/podbottle/podbottle/internal/egress"
)

// question is what a decision depends on.
type question struct {
	method string
	host   string // normal form
	port   int
	tls    bool
	path   requestPath
	query  string
	header http.Header
	now    time.Time
}

// verdict is the answer: a reason, the route that was found, and for a refusal a
// sentence for the person who reads it.
type verdict struct {
	reason Reason
	route  *egress.Route
	detail string
}

func (v verdict) allowed() bool { return v.reason == ReasonAllowed }

// policy is a route table made ready for look-ups. It does not change.
type policy struct {
	generation int
	listed     []egress.Route
	exact      map[string]*rule
	wildcards  []*rule // longest domain first
	// authHeaders are stripped from what the agent sends, whatever the route.
	authHeaders []string
}

// rule is a route with its regular expressions compiled.
type rule struct {
	route   egress.Route
	regexps map[string]*regexp.Regexp
}

func newPolicy(routes []egress.Route, generation int) (*policy, error) {
	p := &policy{generation: generation, listed: routes, exact: make(map[string]*rule), authHeaders: []string{"Authorization", "Proxy-Authorization"}}
	for _, route := range routes {
		r := &rule{route: route, regexps: make(map[string]*regexp.Regexp)}
		for _, m := range route.Matches {
			for _, path := range m.Paths {
				if path.Type != "regex" {
					continue
				}
				re, err := path.Regexp()
				if err != nil {
					return nil, err
				}
				r.regexps[path.Value] = re
			}
		}
		if route.AuthHeader != "" {
			p.authHeaders = append(p.authHeaders, http.CanonicalHeaderKey(route.AuthHeader))
		}
		if strings.HasPrefix(route.Host, "*.") {
			p.wildcards = append(p.wildcards, r)
		} else {
			p.exact[route.Host] = r
		}
	}
	slices.SortFunc(p.wildcards, func(a, b *rule) int { return len(b.route.Host) - len(a.route.Host) })
	slices.Sort(p.authHeaders)
	p.authHeaders = slices.Compact(p.authHeaders)
	return p, nil
}

// lookup finds the route of a host: the exact one, or else the wildcard with the
// longest domain.
func (p *policy) lookup(host string) *rule {
	if r := p.exact[host]; r != nil {
		return r
	}
	for _, r := range p.wildcards {
		if strings.HasSuffix(host, r.route.Host[1:]) {
			return r
		}
	}
	return nil
}

// decide judges one request. The order is: what never leaves (TRACE, malformed
// paths, git pushes), host, port, git fetches, path, method and headers. The
// token is looked at afterwards, by the one who injects it.
func (p *policy) decide(q question) verdict {
	if q.method == http.MethodTrace || q.method == http.MethodConnect {
		return verdict{reason: ReasonMethod, detail: "the method " + q.method + " is never let out"}
	}
	if q.path.malformed != "" {
		return verdict{reason: ReasonBadRequest, detail: "the path cannot be used: " + q.path.malformed}
	}
	push, fetch := gitService(q.path.escaped, q.query)
	if push {
		return verdict{reason: ReasonGitPush, detail: "git pushes go through git-gate, where they are scanned"}
	}
	r := p.lookup(q.host)
	if r == nil {
		return verdict{reason: ReasonHost, detail: "no route of this bottle has the host " + q.host}
	}
	v := verdict{route: &r.route}
	switch {
	case !r.hasPort(q.port, q.tls):
		v.reason, v.detail = ReasonPort, "the route of "+q.host+" does not have this port"
	case fetch && !r.route.GitFetch:
		v.reason, v.detail = ReasonGitFetch, "git over HTTPS is not enabled on the route of "+q.host
	default:
		v.reason, v.detail = r.match(q)
	}
	return v
}

// hasPort lets 443 through with TLS only, and 80 as well as the route's own port with or without.
func (r *rule) hasPort(port int, tls bool) bool {
	switch port {
	case 443:
		return tls || r.route.Port == 443
	case 80:
		return true
	default:
		return port == r.route.Port
	}
}

func (r *rule) match(q question) (Reason, string) {
	if q.path.ambiguous != "" && r.hasPathConditions() {
		return ReasonAmbiguousPath, "servers may read the path in different ways: " + q.path.ambiguous
	}
	if len(r.route.PathAllowlist) > 0 && !slices.ContainsFunc(r.route.PathAllowlist, func(prefix string) bool {
		return strings.HasPrefix(q.path.decoded, prefix)
	}) {
		return ReasonPath, "path_allowlist of the route has no prefix of this path"
	}
	if len(r.route.Matches) == 0 {
		return ReasonAllowed, ""
	}
	reason, detail := ReasonPath, "no entry of the route's matches has this path"
	for _, m := range r.route.Matches {
		switch {
		case len(m.Paths) > 0 && !slices.ContainsFunc(m.Paths, func(p egress.PathMatch) bool { return r.matchPath(p, q.path.decoded) }):
			continue
		case len(m.Methods) > 0 && !slices.Contains(m.Methods, q.method), !matchHeaders(m.Headers, q.header):
			reason, detail = ReasonRule, "the entries of the route's matches that have this path want another method or other headers"
			continue
		case !m.ExpiresAt.IsZero() && !q.now.Before(m.ExpiresAt):
			reason, detail = ReasonExpired, "the permission ended at "+m.ExpiresAt.UTC().Format(time.RFC3339)
			continue
		}
		return ReasonAllowed, ""
	}
	return reason, detail
}

func (r *rule) hasPathConditions() bool {
	return len(r.route.PathAllowlist) > 0 ||
		slices.ContainsFunc(r.route.Matches, func(m egress.Match) bool { return len(m.Paths) > 0 })
}

// matchPath compares whole segments for a prefix, as the Gateway API does:
// /a/b fits /a/b and /a/b/c but not /a/bc.
func (r *rule) matchPath(p egress.PathMatch, path string) bool {
	switch p.Type {
	case "exact":
		return path == p.Value
	case "prefix":
		prefix := strings.TrimSuffix(p.Value, "/")
		rest, ok := strings.CutPrefix(path, prefix)
		return ok && (rest == "" || rest[0] == '/')
	default:
		return r.regexps[p.Value].MatchString(path)
	}
}

func matchHeaders(want []egress.HeaderMatch, have http.Header) bool {
	for _, h := range want {
		if !slices.Contains(have.Values(h.Name), h.Value) {
			return false
		}
	}
	return true
}

// gitService recognises git's HTTP protocols (gitprotocol-http) in the most
// lenient reading of a path. All of LFS counts as a push: whether it uploads
// stands in the body, and the objects then go to wherever the server says.
func gitService(escaped, query string) (push, fetch bool) {
	path := worstCase(escaped)
	switch {
	case strings.HasSuffix(path, "/git-receive-pack"), strings.Contains(path+"/", "/info/lfs/"):
		return true, false
	case strings.HasSuffix(path, "/info/refs"):
		push = slices.Contains(lenientValues(query, "service"), "git-receive-pack")
		return push, !push
	default:
		return false, strings.HasSuffix(path, "/git-upload-pack")
	}
}

// lenientValues returns the values of a query parameter, read as different
// servers might: names without case, ";" as a separator too.
func lenientValues(query, name string) []string {
	var values []string
	for pair := range strings.FieldsFuncSeq(query, func(r rune) bool { return r == '&' || r == ';' }) {
		key, value, _ := strings.Cut(pair, "=")
		if k, err := url.QueryUnescape(key); err != nil || !strings.EqualFold(k, name) {
			continue
		}
		if v, err := url.QueryUnescape(value); err == nil {
			values = append(values, strings.ToLower(v))
		}
	}
	return values
}
