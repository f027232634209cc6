package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestInjectsTheTokenAndStripsTheAgents(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprint("h2=", h2), func(t *testing.T) {
			seen := make(chan *http.Request, 1)
			b := newBottle(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				seen <- r
				fmt.Fprint(w, "hello")
			}), nil)
			res, body := get(t, b.client(h2), b.url("/v1/x?q=1"), http.Header{"Authorization": {"Bearer mine"}, "Proxy-Authorization": {"Basic bWU="}})
			if res.StatusCode != http.StatusOK || body != "hello" {
				t.Fatalf("got %s %q", res.Status, body)
			}
			if want := 1 + map[bool]int{true: 1}[h2]; res.ProtoMajor != want {
				t.Errorf("the agent's leg is HTTP/%d, want %d", res.ProtoMajor, want)
			}
			r := <-seen
			if got := r.Header.Get("Authorization"); got != "Bearer "+testToken {
				t.Errorf("upstream saw Authorization %q", got)
			}
			if r.Header.Get("Proxy-Authorization") != "" {
				t.Error("upstream saw Proxy-Authorization")
			}
			if r.ProtoMajor != res.ProtoMajor || r.RequestURI != "/v1/x?q=1" {
				t.Errorf("upstream saw HTTP/%d %s", r.ProtoMajor, r.RequestURI)
			}
		})
	}
}

func TestRefusesAnUnlistedHost(t *testing.T) {
	b := newBottle(t, http.NotFoundHandler(), nil)
	res, body := get(t, b.client(true), "https://other.example.org/secret", nil)
	if res.StatusCode != http.StatusForbidden || res.Header.Get(ReasonHeader) != string(ReasonHost) {
		t.Fatalf("got %s, reason %q", res.Status, res.Header.Get(ReasonHeader))
	}
	for _, want := range []string{"other.example.org", "egress-block", "- host: other.example.org"} {
		if !strings.Contains(body, want) {
			t.Errorf("the answer does not say %q:\n%s", want, body)
		}
	}
}
