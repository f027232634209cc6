package resolve

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/manifest"
	"github.com/podbottle/podbottle/internal/provider"
	"github.com/podbottle/podbottle/internal/secret"
)

// liftRoutes turns the manifest's routes into egress's (the seed's
// egress_manifest_routes), without token slots.
func liftRoutes(routes []manifest.Route) []egress.Route {
	lifted := make([]egress.Route, 0, len(routes))
	for _, r := range routes {
		route := egress.Route{
			Host:            r.Host,
			Port:            r.Port,
			PathAllowlist:   r.PathAllowlist,
			GitFetch:        r.GitFetch,
			AllowReflection: r.AllowReflection,
			Roles:           r.Roles,
			TLSPassthrough:  r.TLSPassthrough,
			SSRFIPAllowlist: r.SSRFIPAllowlist,
		}
		if r.Auth != nil {
			route.AuthScheme, route.AuthHeader, route.TokenRef = r.Auth.Scheme, r.Auth.Header, r.Auth.TokenRef
		}
		for _, m := range r.Matches {
			route.Matches = append(route.Matches, liftMatch(m))
		}
		lifted = append(lifted, route)
	}
	return lifted
}

func liftMatch(m manifest.MatchBlock) egress.Match {
	match := egress.Match{Methods: m.Methods}
	for _, p := range m.Paths {
		match.Paths = append(match.Paths, egress.PathMatch(p))
	}
	for _, h := range m.Headers {
		match.Headers = append(match.Headers, egress.HeaderMatch(h))
	}
	return match
}

// checkRoutes refuses reserved hosts, and roles that are not the provider's or come twice.
func checkRoutes(routes []manifest.Route, runtime provider.Runtime) error {
	holder := map[string]string{}
	for _, r := range routes {
		if r.Host == egress.IntrospectionHost || r.Host == "egress" || r.Host == "git-gate" || r.Host == "supervise" {
			return fmt.Errorf("%s: the host %s is the bottle's own and needs no route", r.Position, r.Host)
		}
		for _, role := range r.Roles {
			switch {
			case !slices.Contains(provider.RoleNames(), role):
				return fmt.Errorf("%s: unknown role %q; known are: %s", r.Position, role, strings.Join(provider.RoleNames(), ", "))
			case !slices.Contains(runtime.Roles, role):
				return fmt.Errorf("%s: the role %s is not one of the provider %s; remove it", r.Position, role, runtime.Template)
			case holder[role] != "":
				return fmt.Errorf("%s: the role %s is already on the route at %s; only one route can have it", r.Position, role, holder[role])
			}
			holder[role] = r.Position
		}
	}
	return nil
}

// mergeRoutes adds what the provider cannot do without (the seed's
// _merge_provider_route). A host that both name keeps the manifest's paths.
func mergeRoutes(routes, wanted []egress.Route) ([]egress.Route, error) {
	merged := slices.Clone(routes)
	for _, want := range wanted {
		at := slices.IndexFunc(merged, func(r egress.Route) bool { return r.Host == want.Host })
		if at < 0 {
			merged = append(merged, want)
			continue
		}
		have := &merged[at]
		switch {
		case have.AuthScheme == "" && have.TokenRef == "":
			have.AuthScheme, have.AuthHeader, have.TokenRef = want.AuthScheme, want.AuthHeader, want.TokenRef
		case have.AuthScheme != want.AuthScheme || have.AuthHeader != want.AuthHeader || have.TokenRef != want.TokenRef:
			return nil, fmt.Errorf("the route for %s has an auth of its own, and the agent's provider has another for this host; remove one of the two", want.Host)
		}
		have.TLSPassthrough = have.TLSPassthrough || want.TLSPassthrough
	}
	return merged, nil
}

// assignSlots gives each distinct token_ref a slot in the order of the routes.
func assignSlots(routes []egress.Route) map[string]string {
	refs := map[string]string{}
	slots := map[string]string{}
	for i := range routes {
		ref := routes[i].TokenRef
		if ref == "" {
			continue
		}
		if slots[ref] == "" {
			slots[ref] = fmt.Sprintf("EGRESS_TOKEN_%d", len(slots))
			refs[slots[ref]] = ref
		}
		routes[i].TokenEnv = slots[ref]
	}
	return refs
}

// Tokens looks up the value of every token slot of the plan, at launch. A
// variable that is unset or empty is an error that names it and the hosts that need it.
func Tokens(plan *Plan, lookup func(name string) (string, bool)) (map[string]secret.Value, error) {
	values := make(map[string]secret.Value, len(plan.Egress.TokenRefs))
	var errs []error
	for i := range len(plan.Egress.TokenRefs) {
		slot := fmt.Sprintf("EGRESS_TOKEN_%d", i)
		ref := plan.Egress.TokenRefs[slot]
		if value, ok := plan.AgentProvision.Tokens[ref]; ok {
			values[slot] = value
			continue
		}
		value, _ := lookup(ref)
		switch {
		case value == "":
			errs = append(errs, fmt.Errorf("the variable %s is not set or empty; the route to %s needs it", ref, hostsOf(plan.Egress.Routes, slot)))
		case strings.ContainsAny(value, "\r\n\x00"):
			errs = append(errs, fmt.Errorf("the variable %s holds a line break; the route to %s cannot send it", ref, hostsOf(plan.Egress.Routes, slot)))
		}
		values[slot] = secret.New(value)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return values, nil
}

func hostsOf(routes []egress.Route, slot string) string {
	var hosts []string
	for _, r := range routes {
		if r.TokenEnv == slot {
			hosts = append(hosts, r.Host)
		}
	}
	return strings.Join(hosts, ", ")
}
