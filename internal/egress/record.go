package egress

import "time"

// AuditFile is the name of the audit file in the sidecar's state directory. It is
// written with the package audit.
const AuditFile = "audit.jsonl"

// Events of a Record.
const (
	EventRequest = "request" // a request was judged, and forwarded or refused
	EventTunnel  = "tunnel"  // a CONNECT was refused, or what came through it was no usable TLS
	EventRoutes  = "routes"  // a route table was put in force or refused
	EventAgent   = "agent"   // the agent's handover reported
)

// Verdicts of a Record.
const (
	VerdictAllow = "allow"
	VerdictDeny  = "deny"
)

// Record is one decision, as it stands in the sidecar's log and in the audit file.
// It holds no header, no query and no body.
type Record struct {
	Time    time.Time `json:"time"`
	Slug    string    `json:"slug"`
	Event   string    `json:"event"`
	Verdict string    `json:"verdict"`
	// Reason is one of the proxy's stable reasons; "allowed" when let out.
	Reason string `json:"reason"`
	Method string `json:"method,omitempty"`
	Host   string `json:"host,omitempty"`
	Port   int    `json:"port,omitempty"`
	Path   string `json:"path,omitempty"` // as sent, at most 1024 characters
	// Route is the host of the route that was found.
	Route string `json:"route,omitempty"`
	// Status is the response's, or the one of the refusal; 0 where there was no answer.
	Status int `json:"status,omitempty"`
	// Sent and Received are the bytes of the bodies, from the agent and to it.
	Sent     int64 `json:"sent"`
	Received int64 `json:"received"`
	// DurationMS is from the first byte of the request to the last of the response.
	DurationMS float64 `json:"duration_ms"`
	Generation int     `json:"generation"`
	// Detail says more about a route table that was refused, or a response that was cut.
	Detail string `json:"detail,omitempty"`
}
