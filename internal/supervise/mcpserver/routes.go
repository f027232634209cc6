package mcpserver

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"time"

	"github.com/podbottle/podbottle/internal/egress"
)

// routeList is what list-egress-routes returns, in the manifest's and egress-block's
// words, so that an agent can send back what it read.
type routeList struct {
	Routes []route `json:"routes"`
}

type route struct {
	Host          string       `json:"host"`
	Port          int          `json:"port,omitempty"`
	PathAllowlist []string     `json:"path_allowlist,omitempty" jsonschema:"path prefixes; every path when missing"`
	Matches       []routeMatch `json:"matches,omitempty" jsonschema:"a request must fit one of them"`
	Auth          *routeAuth   `json:"auth,omitempty" jsonschema:"a credential is added by the proxy"`
	GitFetch      bool         `json:"git_fetch,omitempty"`
}

type routeMatch struct {
	egress.Match
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
}

type routeAuth struct {
	Scheme string `json:"scheme"`
	Header string `json:"header,omitempty"`
}

// readRoutes reads the live route table. The credentials' slots are left out.
func readRoutes(file string) (routeList, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return routeList{}, errors.New("the route table cannot be read")
	}
	routes, err := egress.ParseRoutes(data)
	if err != nil {
		return routeList{}, errors.New("the route table cannot be read")
	}
	list := routeList{Routes: []route{}}
	for _, r := range routes {
		shown := route{Host: r.Host, Port: r.Port, PathAllowlist: r.PathAllowlist, GitFetch: r.GitFetch}
		for _, m := range r.Matches {
			match := routeMatch{Match: m}
			if !m.ExpiresAt.IsZero() {
				match.ExpiresAt = &m.ExpiresAt
			}
			shown.Matches = append(shown.Matches, match)
		}
		if r.AuthScheme != "" {
			shown.Auth = &routeAuth{Scheme: r.AuthScheme, Header: r.AuthHeader}
		}
		list.Routes = append(list.Routes, shown)
	}
	return list, nil
}

// fileHash is the SHA-256 of a file in hex; empty when it cannot be read.
func fileHash(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
