package proxy

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"testing"

	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/leak"
	"github.com/podbottle/podbottle/internal/secret"
)

// rewritten returns the header that the transport is given for a request of the
// agent with this header.
func rewritten(t *testing.T, policy *policy, route *egress.Route, header http.Header) http.Header {
	t.Helper()
	var out http.Header
	forward := &httputil.ReverseProxy{
		Rewrite: rewrite,
		Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			out = r.Header
			return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody, Request: r}, nil
		}),
		ErrorLog: log.New(io.Discard, "", 0),
	}
	r := httptest.NewRequest(http.MethodGet, "https://api.example.org/", nil)
	r.Header = header
	stripCredentials(r.Header, policy.authHeaders)
	value := secret.New(testToken)
	x := &exchange{
		proxy: &Proxy{config: Config{IdleTimeout: idleTimeout}}, w: httptest.NewRecorder(), r: r, encrypted: true, host: "api.example.org", port: 443,
		path: parsePath("/"), route: route, token: value, masker: leak.New(value), authHeaders: policy.authHeaders,
	}
	x.forward(forward)
	if out == nil {
		// ReverseProxy refuses what asks for an upgrade to something unprintable.
		return http.Header{"X-Api-Key": {testToken}, "Accept-Encoding": {"identity"}}
	}
	return out
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
