package proxy

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/podbottle/podbottle/internal/denial"
)

// refusal is the answer to a request that is not let out. It is written for a
// person at curl and for an agent that reads JSON.
type refusal struct {
	Reason  Reason `json:"reason"`
	Message string `json:"message"`
	Method  string `json:"method,omitempty"`
	Host    string `json:"host,omitempty"`
	Port    int    `json:"port,omitempty"`
	Path    string `json:"path,omitempty"`
	// Ask says how the agent can ask for it; empty when asking is of no use.
	Ask string `json:"how_to_ask,omitempty"`
	// Manifest is what the operator would write to allow it.
	Manifest string `json:"manifest,omitempty"`
}

// statuses of the refusals that are not 403.
var statuses = map[Reason]int{
	ReasonBadRequest:   http.StatusBadRequest,
	ReasonBadHost:      http.StatusBadRequest,
	ReasonMethod:       http.StatusMethodNotAllowed,
	ReasonHostMismatch: http.StatusMisdirectedRequest,
	ReasonFirewallDown: http.StatusBadGateway,
	ReasonEncoding:     http.StatusBadGateway,
	ReasonIdle:         http.StatusGatewayTimeout,
	ReasonGone:         http.StatusBadGateway,
	ReasonAudit:        http.StatusServiceUnavailable,
}

func (r Reason) status() int {
	if code, ok := statuses[r]; ok {
		return code
	}
	if code := denial.Reason(r).Status(); code != 0 {
		return code
	}
	return http.StatusForbidden
}

// advise fills in how the refused request could be allowed: what the agent can ask for
// where there is supervise, and what the operator would write.
func (r *refusal) advise(gitGate string, supervise bool) {
	switch r.Reason {
	case ReasonGitPush:
		if gitGate != "" {
			r.Ask = "push to a remote of " + gitGate + "; its repositories are in ~/.gitconfig"
		} else {
			r.Ask = "this bottle has no git remotes; the operator declares them in the bottle's manifest under git"
		}
	case ReasonHost, ReasonPort:
		r.Manifest = r.route("")
	case ReasonPath, ReasonRule, ReasonExpired:
		r.Manifest = r.route(fmt.Sprintf("path_allowlist: [%q]", r.Path))
	case Reason(denial.Address):
		r.Manifest = r.route("pipelock: {ssrf_ip_allowlist: [ADDRESS/32]}")
	case ReasonGitFetch:
		r.Manifest = r.route("git: {fetch: true}")
	}
	if supervise && r.Ask == "" {
		r.Ask = r.ask()
	}
}

// route is a route of the manifest with one more key.
func (r *refusal) route(key string) string {
	text := "egress:\n  routes:\n    - host: " + r.Host
	if r.otherPort() {
		text += fmt.Sprintf(":%d", r.Port)
	}
	if key != "" {
		text += "\n      " + key
	}
	return text
}

// otherPort reports whether a route has to name the port.
func (r *refusal) otherPort() bool { return r.Port != 0 && r.Port != 80 && r.Port != 443 }

// ask says which tool of supervise asks for the request; empty when none does.
func (r *refusal) ask() string {
	switch r.Reason {
	case ReasonHost:
		if !r.otherPort() { // egress-block opens no other port
			return fmt.Sprintf("call the tool egress-block of the MCP server supervise with host %q", r.Host)
		}
	case ReasonPath, ReasonRule, ReasonExpired:
		return fmt.Sprintf("call the tool egress-block of the MCP server supervise with host %q and path_allowlist [%q]", r.Host, r.Path)
	case ReasonPort, Reason(denial.Host), ReasonFirewall:
	default:
		return ""
	}
	return "call the tool pipelock-block of the MCP server supervise with the failed_url"
}

// write sends the refusal in the form that the request's Accept header prefers:
// JSON when it is named, plain text otherwise.
func (r refusal) write(w http.ResponseWriter, accept string) {
	header := w.Header()
	header.Set(ReasonHeader, string(r.Reason))
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	var body []byte
	if wantsJSON(accept) {
		header.Set("Content-Type", "application/json")
		body, _ = json.Marshal(r) // strings and numbers only
		body = append(body, '\n')
	} else {
		header.Set("Content-Type", "text/plain; charset=utf-8")
		body = []byte(r.text())
	}
	header.Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(r.Reason.status())
	_, _ = w.Write(body)
}

func (r refusal) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "podbottle refused this request (%s): %s\n", r.Reason, r.Message)
	if r.Ask != "" {
		fmt.Fprintf(&b, "How to ask for it: %s.\n", r.Ask)
	}
	if r.Manifest != "" {
		fmt.Fprintf(&b, "The operator allows it in the bottle's manifest with:\n\n%s\n", r.Manifest)
	}
	return b.String()
}

// wantsJSON reports whether an Accept header names a JSON type with a quality
// above zero (RFC 9110, section 12.5.1). A wildcard is no wish for JSON: curl
// sends one.
func wantsJSON(accept string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		kind, params, err := mime.ParseMediaType(part)
		if err != nil || strings.Trim(params["q"], "0.") == "" && params["q"] != "" {
			continue
		}
		if kind == "application/json" || strings.HasSuffix(kind, "+json") {
			return true
		}
	}
	return false
}
