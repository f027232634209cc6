package proxy

import (
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/podbottle/podbottle/internal/denial"
	"github.com/podbottle/podbottle/internal/egress/conformance"
)

func TestRefusedConnect(t *testing.T) {
	never, closeNever := io.Pipe()
	defer closeNever.Close()
	for name, tt := range map[string]struct {
		header http.Header
		body   io.Reader
		want   firewallError
	}{
		"with a reason":                 {http.Header{denial.ReasonHeader: {"name-not-resolved"}, denial.DetailHeader: {"no\x1bsuch name"}}, strings.NewReader("x"), firewallError{"name-not-resolved", "no?such name"}},
		"with a reason of nobody":       {http.Header{denial.ReasonHeader: {"allowed"}}, strings.NewReader(""), firewallError{ReasonFirewall, "the firewall refused the connection with status 403"}},
		"with a text":                   {nil, strings.NewReader("CONNECT blocked:\nheader \x1b[31mDLP\n"), firewallError{ReasonFirewall, "the firewall refused the connection with status 403: CONNECT blocked: header ?[31mDLP"}},
		"with a long text":              {nil, strings.NewReader(strings.Repeat("x", 1<<20)), firewallError{ReasonFirewall, "the firewall refused the connection with status 403: " + strings.Repeat("x", maxText)}},
		"with a text that never comes":  {nil, never, firewallError{ReasonFirewall, "the firewall refused the connection with status 403"}},
		"with a text that is not there": {nil, http.NoBody, firewallError{ReasonFirewall, "the firewall refused the connection with status 403"}},
	} {
		header := tt.header
		if header == nil {
			header = http.Header{}
		}
		err := refusedConnect(t.Context(), nil, nil, &http.Response{StatusCode: http.StatusForbidden, Header: header, Body: io.NopCloser(tt.body)})
		var got *firewallError
		if !errors.As(err, &got) || *got != tt.want {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	if err := refusedConnect(t.Context(), nil, nil, &http.Response{StatusCode: http.StatusOK}); err != nil {
		t.Errorf("an open tunnel: %v", err)
	}
}

// postSecret sends what no firewall lets through.
func postSecret(t *testing.T, b *bottle, accept string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, b.url("/"), strings.NewReader("key="+fakeToken))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	return do(t, b.client(true), req)
}

func TestRefusalsOfTheFirewallSayWhatWasFound(t *testing.T) {
	b := newBottle(t, http.HandlerFunc(conformance.Upstream), nil)
	for accept, want := range map[string][]string{
		"*/*":              {"podbottle refused this request (firewall-secret): the request body contains a secret: github-pat"},
		"application/json": {`"reason":"firewall-secret"`, `"message":"the request body contains a secret: github-pat"`, `"host":"api.example.org"`},
	} {
		res, body := postSecret(t, b, accept)
		for _, part := range want {
			if !strings.Contains(body, part) {
				t.Errorf("%s: %s, want %q in %q", accept, res.Status, part, body)
			}
		}
		if strings.Contains(body, fakeToken) || res.Header.Get(denial.DetailHeader) != "" {
			t.Errorf("%s: %v %s", accept, res.Header, body)
		}
	}
	for _, r := range b.records() {
		if r.Verdict != "deny" || r.Reason != string(denial.Secret) {
			t.Errorf("recorded %+v", r)
		}
	}
}

// TestReasonsAreOnlyBelievedFromAFirewallThatGivesThem: from any other the header would
// be an upstream's.
func TestReasonsAreOnlyBelievedFromAFirewallThatGivesThem(t *testing.T) {
	b := newBottle(t, http.HandlerFunc(conformance.Upstream), nil)
	named, err := waitForFirewall(t.Context(), b.proxy.config.Firewall, netip.MustParseAddrPort(b.proxyURL.Host))
	if err != nil || !named {
		t.Errorf("the built-in firewall gives reasons: %v, %v", named, err)
	}
	b.proxy.namesReasons.Store(false)
	res, body := postSecret(t, b, "*/*")
	if res.StatusCode != http.StatusForbidden || res.Header.Get(ReasonHeader) != "" || !strings.HasPrefix(body, "blocked: ") {
		t.Errorf("%s %v %q", res.Status, res.Header, body)
	}
}
