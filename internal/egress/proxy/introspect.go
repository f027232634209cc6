package proxy

import (
	"encoding/json"
	"net/http"

	"github.com/podbottle/podbottle/internal/egress"
)

// allowlist is the answer of GET /allowlist. It names token slots, never values.
type allowlist struct {
	Slug       string         `json:"slug"`
	Generation int            `json:"generation"`
	Routes     []egress.Route `json:"routes"`
}

// introspect answers for the proxy's own host. Nothing of it leaves the bottle.
func (p *Proxy) introspect(x *exchange) {
	switch {
	case x.r.Method == http.MethodGet && x.path.escaped == "/allowlist":
		policy := p.policy.Load()
		x.generation = policy.generation
		body, err := json.Marshal(allowlist{Slug: p.config.Slug, Generation: policy.generation, Routes: policy.listed})
		if err != nil {
			x.refuse(verdict{reason: ReasonBadRequest, detail: "the route table cannot be shown"})
			return
		}
		x.reason, x.status = ReasonAllowed, http.StatusOK
		x.w.Header().Set("Content-Type", "application/json")
		x.w.Header().Set("Cache-Control", "no-store")
		_, _ = x.w.Write(append(body, '\n'))
	case x.r.Method == http.MethodPut && x.path.escaped == "/agent-ready":
		if err := p.config.AgentReady(); err != nil {
			p.config.Log.Error("agent-ready", "error", err)
			x.refuse(verdict{reason: ReasonBadRequest, detail: "the marker cannot be written"})
			return
		}
		x.event, x.reason, x.status = egress.EventAgent, ReasonAllowed, http.StatusNoContent
		x.w.WriteHeader(http.StatusNoContent)
	default:
		x.refuse(verdict{reason: ReasonBadRequest, detail: "this host answers GET /allowlist and PUT /agent-ready"})
	}
}
