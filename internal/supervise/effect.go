package supervise

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/visible"
)

// Change is what an approval does to the route table.
type Change struct {
	Ask Ask
	// Before is the table that the change was worked out for, as it was read.
	Before []byte
	// After is the table afterwards; equal to Before when Nothing.
	After  []byte
	Routes []egress.Route // After, parsed
	// Summary says in one sentence what is newly permitted.
	Summary string
	// Warnings are what the operator should know before he agrees.
	Warnings []string
	// Diff shows After against Before, line by line.
	Diff string
	// Slot is the new token slot whose value the operator has to give; empty for none.
	Slot string
	// Nothing says that all of it is permitted already.
	Nothing bool

	firewall *firewallChange // nil for none
}

// Effect works out what approving ask does to a route table: which routes there
// are afterwards, and what that permits. An approval with an end, until, is worth
// nothing after it; a zero until has none. now drops approvals that have ended.
func Effect(ask Ask, table []byte, now, until time.Time) (Change, error) {
	current, err := egress.ParseRoutes(table)
	if err != nil {
		return Change{}, err
	}
	c := Change{Ask: ask, Before: table}
	routes := prune(current, now)
	i := slices.IndexFunc(routes, func(r egress.Route) bool { return r.Host == ask.Host })
	added := i < 0
	if added {
		route, ok := inherited(routes, ask.Host)
		if !ok {
			route = egress.Route{Host: ask.Host, Matches: []egress.Match{}}
			if ask.Auth != nil {
				c.Slot = freeSlot(current)
				route.AuthScheme, route.AuthHeader, route.TokenEnv = ask.Auth.Scheme, ask.Auth.Header, c.Slot
			}
		}
		routes = append(routes, route)
		i = len(routes) - 1
	}
	before := routes[i]
	routes[i], err = widen(before, ask, until)
	if err != nil {
		return Change{}, err
	}
	c.Routes = routes
	if c.After, err = egress.FormatRoutes(routes); err != nil {
		return Change{}, err
	}
	c.Nothing = permits(before, ask, until)
	if c.Nothing {
		c.Routes, c.After = current, table
	} else {
		shown, err := egress.FormatRoutes(current)
		if err != nil {
			return Change{}, err
		}
		c.Diff = string(diff.Diff("routes now", shown, "routes afterwards", c.After))
	}
	c.Summary = summary(c, routes[i], until)
	c.Warnings = warnings(c, before, current)
	return c, nil
}

// prune drops what has ended, and routes of which nothing is left.
func prune(routes []egress.Route, now time.Time) []egress.Route {
	var kept []egress.Route
	for _, r := range routes {
		if len(r.Matches) > 0 {
			r.Matches = slices.DeleteFunc(slices.Clone(r.Matches), func(m egress.Match) bool {
				return !m.ExpiresAt.IsZero() && !now.Before(m.ExpiresAt)
			})
			if len(r.Matches) == 0 {
				continue // never a route without conditions: that would permit everything
			}
		}
		kept = append(kept, r)
	}
	return kept
}

// inherited is the wildcard route that serves host now. A route of the host's own
// hides it, so the new one has to begin with all that it permits.
func inherited(routes []egress.Route, host string) (egress.Route, bool) {
	var best egress.Route
	for _, r := range routes {
		if domain, wild := strings.CutPrefix(r.Host, "*"); wild && strings.HasSuffix(host, domain) && len(r.Host) > len(best.Host) {
			best = r
		}
	}
	found := best.Host != ""
	best.Host = host
	return best, found
}

// freeSlot is the first slot above those in use.
func freeSlot(routes []egress.Route) string {
	next := 0
	for _, r := range routes {
		var n int
		if _, err := fmt.Sscanf(r.TokenEnv, "EGRESS_TOKEN_%d", &n); err == nil && n >= next {
			next = n + 1
		}
	}
	return fmt.Sprintf("EGRESS_TOKEN_%d", next)
}

// isNew reports whether a route permits nothing yet: its Matches are empty but not nil.
func isNew(r egress.Route) bool { return r.Matches != nil && len(r.Matches) == 0 }

// widen adds what is asked for to a route, which may be new.
func widen(r egress.Route, ask Ask, until time.Time) (egress.Route, error) {
	switch {
	case ask.Port == 0 || ask.Port == r.Port:
	case r.Port != 0:
		return r, fmt.Errorf("the route to %s has the port %d already; a route has one", r.Host, r.Port)
	case !until.IsZero() && !isNew(r):
		return r, fmt.Errorf("port %d cannot be granted for a time; grant it for the bottle", ask.Port)
	default:
		r.Port = ask.Port
	}
	m := ask.match()
	m.ExpiresAt = until
	everything := len(m.Paths) == 0 && len(m.Methods) == 0
	switch {
	case r.Matches == nil && len(r.PathAllowlist) == 0:
		return r, nil // no condition: everything is permitted already
	case everything && until.IsZero():
		r.PathAllowlist, r.Matches = nil, nil
		return r, nil
	case everything:
		m.Paths = []egress.PathMatch{{Type: "prefix", Value: "/"}}
	}
	matches, err := alternatives(r)
	if err != nil {
		return r, err
	}
	r.PathAllowlist, r.Matches = nil, append(matches, m)
	return r, nil
}

// alternatives expresses what a route permits by matches alone. PathAllowlist is
// a condition besides the matches, and another one for every alternative that is
// added later, so it has to go into them.
func alternatives(r egress.Route) ([]egress.Match, error) {
	if len(r.PathAllowlist) == 0 {
		return slices.Clone(r.Matches), nil
	}
	var paths []egress.PathMatch
	for _, prefix := range r.PathAllowlist {
		// A prefix there is a string's, not a segment's.
		paths = append(paths, egress.PathMatch{Type: "regex", Value: "(?s)" + regexp.QuoteMeta(prefix) + ".*"})
	}
	if len(r.Matches) == 0 {
		return []egress.Match{{Paths: paths}}, nil
	}
	matches := slices.Clone(r.Matches)
	for i := range matches {
		if len(matches[i].Paths) > 0 {
			return nil, fmt.Errorf("the route to %s has both path_allowlist and matches with paths; add to it in the manifest by hand", r.Host)
		}
		matches[i].Paths = paths
	}
	return matches, nil
}

// permits reports whether a route lets through what is asked for, at least as
// long. It may miss that several alternatives together do; then an approval adds
// what is there already.
func permits(r egress.Route, ask Ask, until time.Time) bool {
	switch {
	case ask.Port != 0 && ask.Port != r.Port:
		return false
	case r.Matches == nil:
		return everyPath(ask, func(path string) bool {
			return len(r.PathAllowlist) == 0 || slices.ContainsFunc(r.PathAllowlist, func(p string) bool { return strings.HasPrefix(path, p) })
		})
	case len(r.PathAllowlist) > 0:
		return false
	}
	return slices.ContainsFunc(r.Matches, func(m egress.Match) bool { return covers(m, ask, until) })
}

// covers reports whether one alternative lets through what is asked for.
func covers(m egress.Match, ask Ask, until time.Time) bool {
	longEnough := m.ExpiresAt.IsZero() || !until.IsZero() && !m.ExpiresAt.Before(until)
	if !longEnough || len(m.Headers) > 0 || len(m.Methods) > 0 && len(ask.Methods) == 0 {
		return false
	}
	for _, method := range ask.Methods {
		if len(m.Methods) > 0 && !slices.Contains(m.Methods, method) {
			return false
		}
	}
	return everyPath(ask, func(path string) bool {
		return len(m.Paths) == 0 || slices.ContainsFunc(m.Paths, func(p egress.PathMatch) bool {
			prefix := strings.TrimSuffix(p.Value, "/")
			return p.Type == "prefix" && (path == prefix || strings.HasPrefix(path, prefix+"/"))
		})
	})
}

// everyPath reports whether ok holds for all paths that are asked for.
func everyPath(ask Ask, ok func(path string) bool) bool {
	if len(ask.PathAllowlist) == 0 {
		return ok("/")
	}
	return !slices.ContainsFunc(ask.PathAllowlist, func(path string) bool { return !ok(path) })
}

// summary is the sentence for the operator. Everything in it has been checked;
// it still goes through visible, as all that he reads.
func summary(c Change, route egress.Route, until time.Time) string {
	ask := c.Ask
	methods := "every kind of request"
	if len(ask.Methods) > 0 {
		methods = strings.Join(ask.Methods, ", ") + " requests"
	}
	paths := "on every path"
	if len(ask.PathAllowlist) > 0 {
		paths = "on " + someOf(ask.PathAllowlist) + " and below"
	}
	where := ask.Host
	if route.Port != 0 {
		where = fmt.Sprintf("%s (ports 443, 80 and %d)", where, route.Port)
	}
	if c.Nothing {
		return visible.String(fmt.Sprintf("Permits nothing new: %s to %s %s may pass already.", methods, where, paths))
	}
	var credential string
	switch {
	case c.Slot != "":
		credential = fmt.Sprintf("with a new credential that you give (%s), which the agent never sees", schemeText(route))
	case route.TokenEnv != "":
		credential = fmt.Sprintf("with the credential %s that this host has already (%s)", route.TokenEnv, schemeText(route))
	default:
		credential = "without any credential"
	}
	end := "."
	if !until.IsZero() {
		end = fmt.Sprintf(", until %s.", until.Local().Format("2006-01-02 15:04:05 MST"))
	}
	return visible.String(fmt.Sprintf("Lets %s to %s %s pass, %s%s", methods, where, paths, credential, end))
}

// maxNamed bounds the paths that the sentence names, in bytes; the difference has them all.
const maxNamed = 1000

func someOf(paths []string) string {
	text := strings.Join(paths, ", ")
	if len(text) <= maxNamed {
		return text
	}
	return fmt.Sprintf("%s… (%d paths in all)", text[:maxNamed], len(paths))
}

func schemeText(r egress.Route) string {
	if r.AuthScheme == egress.SchemeHeader {
		return "header " + r.AuthHeader
	}
	return "Authorization: " + r.AuthScheme
}

// otherReason is the warning about an approval of what is permitted already.
const otherReason = "The refusal that the agent met has another reason; an approval does not lift it."

// warnings are what makes an approval more than it looks.
func warnings(c Change, before egress.Route, current []egress.Route) []string {
	familiar := make([]string, 0, len(current))
	for _, r := range current {
		if r.Host != c.Ask.Host {
			familiar = append(familiar, r.Host)
		}
	}
	_, list := visible.Host(c.Ask.Host, familiar)
	if c.Nothing {
		return append(list, otherReason)
	}
	if len(c.Ask.PathAllowlist) == 0 {
		list = append(list, "Every path of the host is opened.")
	}
	if len(c.Ask.Methods) == 0 || slices.ContainsFunc(c.Ask.Methods, func(m string) bool { return m != "GET" && m != "HEAD" && m != "OPTIONS" }) {
		list = append(list, "The agent can send data to the host, not only read.")
	}
	if c.Ask.Port != 0 && before.Port == 0 && len(before.PathAllowlist)+len(before.Matches) > 0 {
		list = append(list, fmt.Sprintf("Port %d is opened for all that the route permits already, too.", c.Ask.Port))
	}
	switch auth := c.Ask.Auth; {
	case auth != nil && c.Slot != "":
		list = append(list, fmt.Sprintf("The agent asks for the credential in %s. Be sure that this credential is meant for %s.", visible.String(auth.TokenRef), c.Ask.Host))
	case auth != nil:
		list = append(list, "The credential that the agent asks for is left out: the host has a route already, and its own credential, if any, stays.")
	}
	return list
}

// ErrChanged says that the route table is not the one that the operator was shown.
var ErrChanged = errors.New("the routes have changed since this was shown; look at it again")
