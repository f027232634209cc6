// Package egress is the way out of a bottle: the routes an agent may use, the
// certificate authority it trusts, and what the egress sidecar is told. The
// proxy itself is in the package egress/proxy.
package egress

import (
	"net/netip"
	"time"
)

// Port is where the egress proxy listens on the pod's internal address.
const Port = 9099

// IntrospectionHost is answered by the proxy itself and never leaves the bottle.
const IntrospectionHost = "_egress.local"

// Auth schemes of a route.
const (
	SchemeBearer = "Bearer" // Authorization: Bearer <token>
	SchemeToken  = "token"  // Authorization: token <token>
	SchemeBasic  = "basic"  // Authorization: Basic base64(<token>), the token being user:password
	SchemeHeader = "header" // <AuthHeader>: <token>
)

// Route lets requests to one host out, and may add a credential to them. It is
// the effective route, after the manifest's and the provider's were merged.
type Route struct {
	// Host is lower-case, without trailing dot, in its A-label form; or
	// "*.example.org" for every name below example.org, but not itself.
	Host string `yaml:"host" json:"host"`
	// Port is the one extra port besides 443 and 80; 0 for none.
	Port int `yaml:"port,omitempty" json:"port,omitempty"`
	// PathAllowlist holds absolute path prefixes; empty lets every path through.
	PathAllowlist []string `yaml:"path_allowlist,omitempty" json:"path_allowlist,omitempty"`
	// Matches, where present, are OR-ed; a request must fit one of them as well as PathAllowlist.
	Matches []Match `yaml:"matches,omitempty" json:"matches,omitempty"`
	// AuthScheme is one of the Scheme constants; empty injects nothing.
	AuthScheme string `yaml:"auth_scheme,omitempty" json:"auth_scheme,omitempty"`
	// AuthHeader is the header's name for SchemeHeader, such as x-api-key.
	AuthHeader string `yaml:"auth_header,omitempty" json:"auth_header,omitempty"`
	// TokenEnv is the slot, EGRESS_TOKEN_n, whose value is injected.
	TokenEnv string `yaml:"token_env,omitempty" json:"token_env,omitempty"`
	// GitFetch lets clone and fetch by smart HTTP through.
	GitFetch bool `yaml:"git_fetch,omitempty" json:"git_fetch,omitempty"`
	// AllowReflection switches off the replacement of injected tokens in responses.
	AllowReflection bool `yaml:"allow_reflection,omitempty" json:"allow_reflection,omitempty"`

	// The fields below are not written for the sidecar, unless they say so.

	// TokenRef names the host's environment variable that holds the token.
	TokenRef string `yaml:"-" json:"token_ref,omitempty"`
	// Roles are the markers that a provider reads.
	Roles []string `yaml:"-" json:"roles,omitempty"`
	// TLSPassthrough lets the firewall see this host's name and port only. The sidecar knows
	// it, because it then has the upstream's own TLS before it.
	TLSPassthrough bool `yaml:"tls_passthrough,omitempty" json:"tls_passthrough,omitempty"`
	// SSRFIPAllowlist are special-purpose ranges that the firewall may dial for this host.
	SSRFIPAllowlist []netip.Prefix `yaml:"-" json:"ssrf_ip_allowlist,omitempty"`
}

// Match is one alternative of a route; its non-empty parts are AND-ed, as in an
// HTTPRouteMatch of the Kubernetes Gateway API.
type Match struct {
	Paths   []PathMatch   `yaml:"paths,omitempty" json:"paths,omitempty"`     // OR-ed
	Methods []string      `yaml:"methods,omitempty" json:"methods,omitempty"` // upper-case, OR-ed
	Headers []HeaderMatch `yaml:"headers,omitempty" json:"headers,omitempty"` // AND-ed
	// ExpiresAt ends an alternative that an operator granted for a time; zero never
	// ends. The proxy itself refuses after it, so nothing on the host has to run. An
	// expired alternative still counts as present: a route whose every match has
	// expired lets nothing through.
	ExpiresAt time.Time `yaml:"expires_at,omitempty" json:"expires_at,omitzero"`
}

// PathMatch compares the decoded, dot-segment-free path.
type PathMatch struct {
	Type  string `yaml:"type" json:"type"` // prefix | exact | regex (RE2, anchored at both ends)
	Value string `yaml:"value" json:"value"`
}

// HeaderMatch wants a header with exactly this value.
type HeaderMatch struct {
	Name  string `yaml:"name" json:"name"`
	Value string `yaml:"value" json:"value"`
}
