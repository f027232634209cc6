package proxy

import "github.com/podbottle/podbottle/internal/denial"

// ReasonHeader carries the reason of a refusal on every answer that the proxy
// itself gives.
const ReasonHeader = denial.ReasonHeader

// Reason says why a request was refused. The values are stable: agents, tests and
// the audit file use them. Besides those listed here there are the reasons of package
// denial, which the built-in firewall gives.
type Reason string

// The reasons, in the order in which a request is judged.
const (
	// ReasonAllowed is the verdict of a request that was let out.
	ReasonAllowed Reason = "allowed"
	// ReasonBadRequest: no proxy request, or one that cannot be read in one way only.
	ReasonBadRequest Reason = "bad-request"
	// ReasonMethod: TRACE, or CONNECT inside a tunnel.
	ReasonMethod Reason = "method-refused"
	// ReasonBadHost: the host is no host name.
	ReasonBadHost Reason = "bad-host"
	// ReasonIPLiteral: the host is an address, in whatever spelling.
	ReasonIPLiteral Reason = "ip-literal"
	// ReasonNoServerName: the client hello names no server.
	ReasonNoServerName Reason = "no-server-name"
	// ReasonServerName: the client hello names another server than CONNECT.
	ReasonServerName Reason = "server-name-mismatch"
	// ReasonEncryptedSNI: the client hello hides its server name.
	ReasonEncryptedSNI Reason = "encrypted-server-name"
	// ReasonHandshake: the tunnel carries no TLS that the proxy speaks.
	ReasonHandshake Reason = "tls-failed"
	// ReasonHostMismatch: a request names another host than its tunnel.
	ReasonHostMismatch Reason = "host-mismatch"
	// ReasonGitPush: a git push over HTTPS; git-gate is the way.
	ReasonGitPush Reason = "git-push"
	// ReasonHost: no route has the host.
	ReasonHost Reason = "host-not-allowed"
	// ReasonPort: the route does not have the port.
	ReasonPort Reason = "port-not-allowed"
	// ReasonGitFetch: a clone or fetch over HTTPS on a route without git.fetch.
	ReasonGitFetch Reason = "git-fetch"
	// ReasonPath: the route does not have the path.
	ReasonPath Reason = "path-not-allowed"
	// ReasonAmbiguousPath: servers may read the path differently, and the route has path conditions.
	ReasonAmbiguousPath Reason = "ambiguous-path"
	// ReasonRule: no alternative of the route fits method and headers.
	ReasonRule Reason = "no-match"
	// ReasonExpired: the alternatives that fit have expired.
	ReasonExpired Reason = "expired"
	// ReasonPlaintext: the route injects a token, and the request is not encrypted.
	ReasonPlaintext Reason = "plaintext"
	// ReasonNoToken: the route's token is missing or empty.
	ReasonNoToken Reason = "no-token"
	// ReasonFirewall: the firewall refused and gave no reason that is known.
	ReasonFirewall Reason = "firewall"
	// ReasonFirewallDown: the firewall does not answer.
	ReasonFirewallDown Reason = "firewall-unreachable"
	// ReasonUpstream: the upstream does not answer, or not as HTTP or TLS demand.
	ReasonUpstream = Reason(denial.Upstream)
	// ReasonEncoding: the response is encoded in a way that cannot be searched for the token.
	ReasonEncoding Reason = "unreadable-encoding"
	// ReasonGone: the client went away before there was an answer.
	ReasonGone Reason = "client-gone"
	// ReasonAudit: the audit file cannot be written, so nothing is let out.
	ReasonAudit Reason = "audit-failed"
	// ReasonBadRoutes: a route table was refused and the old one kept.
	ReasonBadRoutes Reason = "bad-routes"
	// ReasonIdle: no byte moved for ten minutes.
	ReasonIdle Reason = "idle"
)
