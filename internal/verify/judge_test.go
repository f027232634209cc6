package verify

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/podbottle/podbottle/internal/verify/probe"
)

// TestServersTellMarksApart asks real servers as the probes do.
func TestServersTellMarksApart(t *testing.T) {
	s, err := startServers(t.Context(), netip.MustParseAddr("127.0.0.1"), "pbvtest", "the-token")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.caPEM)
	client := &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: nameAllowed, MinVersion: tls.VersionTLS12}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	get := func(host, path string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("https://127.0.0.1:%d%s", s.Port, path), nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = net.JoinHostPort(host, fmt.Sprint(s.Port))
		request.Header.Set("Authorization", "Bearer the-token")
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
	}
	get(nameAllowed, "/open/pbvtest-agent-1")
	get(nameAllowed, "/secret/pbvtest-agent-2")
	get(nameUnlisted, "/open/pbvtest-agent-3")
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.Loopback))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = conn.Write([]byte("pbvtest-agent-4\n"))
	_ = conn.SetReadDeadline(time.Now().Add(2 * time.Minute))
	if _, err := conn.Read(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()

	r := &run{servers: s, reachable: true}
	held := func(absent, present string) probe.Result {
		result := probe.Result{ID: "net.tcp4", Outcome: probe.Held}
		if absent != "" {
			result.Absent = []string{absent}
		}
		if present != "" {
			result.Present = []string{present}
		}
		return result
	}
	for _, test := range []struct {
		name   string
		result probe.Result
		want   probe.Outcome
	}{
		{"nothing arrived", held("pbvtest-agent-9", ""), probe.Held},
		{"the control arrived", held("", "pbvtest-agent-1"), probe.Held},
		{"the control did not", held("", "pbvtest-agent-9"), probe.Incomplete},
		{"a path that is not allowed", held("pbvtest-agent-2", "pbvtest-agent-1"), probe.Breach},
		{"another host", held("pbvtest-agent-3", ""), probe.Breach},
		{"the host's loopback", held("pbvtest-agent-4", ""), probe.Breach},
		{"one that could not run stays so", probe.Result{Outcome: probe.Incomplete, Absent: []string{"pbvtest-agent-4"}}, probe.Incomplete},
	} {
		if got := r.judge(test.result); got.Outcome != test.want {
			t.Errorf("%s: %s (%s), want %s", test.name, got.Outcome, got.Seen, test.want)
		}
	}
	r.reachable = false
	if got := r.judge(probe.Result{ID: "host.tcp", Outcome: probe.Held}); got.Outcome != probe.Incomplete {
		t.Errorf("a server that the pod does not reach proves nothing, but host.tcp is %s", got.Outcome)
	}
}
