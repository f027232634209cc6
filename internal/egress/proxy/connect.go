package proxy

import (
	"context"
	"errors"
	"net/http"

	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/intercept"
)

// connect opens a tunnel. A host without a route gets one too: the refusal is
// then given inside, where programs show it to the people who use them, which
// they do not do with the answer to CONNECT.
func (p *Proxy) connect(w http.ResponseWriter, r *http.Request) {
	x := p.begin(w, r)
	defer x.finish()
	x.event, x.path = egress.EventTunnel, requestPath{}
	host, port, err := egress.ParseAuthority(r.RequestURI)
	if err != nil {
		x.refuse(badHost(err))
		return
	}
	x.host, x.port = host, port
	if v := p.policy.Load().decideTunnel(host, port); !v.allowed() {
		x.refuse(v)
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		x.refuse(verdict{reason: ReasonBadRequest, detail: "the connection cannot become a tunnel"})
		return
	}
	if _, err := conn.Write([]byte("HTTP/1.1 200 Connection established\r\n\r\n")); err != nil {
		_ = conn.Close()
		return
	}
	err = p.tunnels.Serve(context.WithoutCancel(r.Context()), conn, buffered.Reader, intercept.Target{Host: host, Port: port})
	if err != nil {
		x.reason = tunnelReason(err)
	}
}

// decideTunnel judges a CONNECT by its port alone: 443 and 80 are open, any other
// only where the host's route has it.
func (p *policy) decideTunnel(host string, port int) verdict {
	if port == 443 || port == 80 {
		return verdict{reason: ReasonAllowed}
	}
	r := p.lookup(host)
	if r == nil {
		return verdict{reason: ReasonHost, detail: "no route of this bottle has the host " + host}
	}
	if port != r.route.Port {
		return verdict{reason: ReasonPort, route: &r.route, detail: "the route of " + host + " does not have this port"}
	}
	return verdict{reason: ReasonAllowed, route: &r.route}
}

func tunnelReason(err error) Reason {
	switch {
	case errors.Is(err, intercept.ErrNoServerName):
		return ReasonNoServerName
	case errors.Is(err, intercept.ErrServerName):
		return ReasonServerName
	case errors.Is(err, intercept.ErrEncryptedSNI):
		return ReasonEncryptedSNI
	default:
		return ReasonHandshake
	}
}
