package conformance

import (
	"crypto/tls"
	"net/http"
	"slices"
	"strings"
)

// Rows are the table, in the order of the documentation. They need a bottle with
// these routes, all below the agent's domain and with the port of one of its upstreams:
//
//	api      injects a bearer token
//	pass     the same, and the firewall passes its TLS through: pipelock refuses
//	         compressed responses itself
//	plain    the upstream without TLS
//	*.wild   every name below
//	xn--bcher-kva
//	paths    path_allowlist [/v1/]
//	rules    matches: GET below /api; anything at /once until a time that is over
//	git      git: {fetch: true}
//	empty    injects a token whose slot has no value
//	secret   injects a token, with the port of the upstream without TLS
//
// The rows of the firewall need more of them:
//
//	inside          leads to an address that is not public and not the route's
//	closed          port 1, where nobody listens
//	not.covered     a name that the upstream's certificate is not for
//	passed.covered  the same, and the firewall passes its TLS through
//	late            not in the firewall's allowlist
//
// and nowhere.invalid, a name that does not exist (RFC 2606).
func Rows() []Row {
	return slices.Concat(allowed(), hosts(), tunnels(), messages(), paths(), services())
}

// attempt is how a row makes its request.
type attempt = func(*Agent) (Outcome, error)

// fetch is a request in HTTP/2 to one of the routes.
func fetch(method, name, path string) attempt {
	return func(a *Agent) (Outcome, error) { return a.fetch(true, method, "https://"+a.authority(name)+path, nil) }
}

// fetchURL is a request in HTTP/1.1 to a URL; DOMAIN in it is the agent's.
func fetchURL(url string) attempt {
	return func(a *Agent) (Outcome, error) {
		return a.fetch(false, http.MethodGet, strings.ReplaceAll(url, "DOMAIN", a.Domain), nil)
	}
}

// connect is the answer to CONNECT itself; DOMAIN in the authority is the agent's.
func connect(authority string) attempt {
	return func(a *Agent) (Outcome, error) {
		conn, res, err := a.connect(strings.ReplaceAll(authority, "DOMAIN", a.Domain))
		if err != nil {
			return Outcome{}, err
		}
		defer conn.Close()
		return outcomeOf(res)
	}
}

// hello is a handshake in a tunnel to api; its error ends the tunnel.
func hello(config func(*Agent) *tls.Config) attempt {
	return func(a *Agent) (Outcome, error) {
		session, err := a.tunnel(a.authority("api"), config(a))
		if err != nil {
			return Outcome{}, err
		}
		return Outcome{}, session.Close()
	}
}

// opening is what a program that speaks no TLS sends into a tunnel.
func opening(port, text string) attempt {
	return func(a *Agent) (Outcome, error) {
		authority := a.authority("api")
		if port != "" {
			authority = "api." + a.Domain + ":" + port
		}
		conn, err := a.open(authority)
		if err != nil {
			return Outcome{}, err
		}
		defer conn.Close()
		if _, err := conn.Write([]byte(text)); err != nil {
			return Outcome{}, err
		}
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			return Outcome{}, errEnded
		}
		return Outcome{}, nil
	}
}

// inTunnel is a request in HTTP/1.1, sent as it stands through a tunnel to one of the
// routes. AUTHORITY and DOMAIN in it are replaced.
func inTunnel(name, request string) attempt {
	return func(a *Agent) (Outcome, error) {
		session, err := a.tunnel(a.authority(name), &tls.Config{ServerName: name + "." + a.Domain})
		if err != nil {
			return Outcome{}, err
		}
		defer session.Close()
		return send(session, a.fill(request, name))
	}
}

// toProxy is what is sent to the proxy outside of any tunnel.
func toProxy(request string) attempt {
	return func(a *Agent) (Outcome, error) {
		conn, err := a.dial()
		if err != nil {
			return Outcome{}, err
		}
		defer conn.Close()
		return send(conn, a.fill(request, "api"))
	}
}

func (a *Agent) fill(request, name string) string {
	return strings.NewReplacer("AUTHORITY", a.authority(name), "DOMAIN", a.Domain).Replace(request)
}
