package egress

import "net/netip"

// Files of the sidecar, besides RoutesFile and one file a token slot.
const (
	CACertFile     = "ca.crt"          // secrets: the authority that the agent trusts
	CAKeyFile      = "ca.key"          // secrets: its key
	FirewallCAFile = "firewall-ca.crt" // secrets: the firewall's authority
	RootsFile      = "roots.pem"       // configuration: the host's trusted authorities and the operator's extra ones
)

// Addresses on the pod's loopback.
const (
	firewallAddress = "127.0.0.1:8888"
	metricsAddress  = "127.0.0.1:9901"
)

// gitGateURL is what the answer to a git push over HTTPS points at.
const gitGateURL = "git://git-gate:9418"

// Plan is what resolution decides about egress.
type Plan struct {
	Slug string `json:"slug"`
	// RoutesFile is the rendered route table in the state directory, mode 0600.
	RoutesFile string  `json:"routes_file"`
	Routes     []Route `json:"routes"`
	// TokenRefs maps a slot (EGRESS_TOKEN_n) to the host's variable or to the
	// provider's sentinel. Values are looked up at launch.
	TokenRefs map[string]string `json:"token_refs"`
}

// ConfigFiles renders what the sidecar reads in its configuration directory.
func (p Plan) ConfigFiles() (map[string][]byte, error) {
	routes, err := FormatRoutes(p.Routes)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{RoutesFile: routes}, nil
}

// Beside says what egress has beside it in its bottle.
type Beside struct {
	GitGate     bool // the answer to a git push can point at it
	Supervise   bool // the agent can ask for what is refused
	PreferHTTP2 bool // the firewall keeps connections of that version alone
}

// Args is the sidecar's command line. The proxy listens on the pod's internal address.
func (p Plan) Args(pod netip.Addr, beside Beside) []string {
	args := []string{
		"egress", "--slug", p.Slug,
		"--listen", netip.AddrPortFrom(pod, Port).String(),
		"--firewall", firewallAddress,
		"--metrics", metricsAddress,
	}
	if beside.GitGate {
		args = append(args, "--git-gate", gitGateURL)
	}
	if beside.Supervise {
		args = append(args, "--supervise")
	}
	if beside.PreferHTTP2 {
		args = append(args, "--prefer-http2")
	}
	return args
}
