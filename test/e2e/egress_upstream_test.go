//go:build e2e

package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"github.com/podbottle/podbottle/internal/egress/conformance"
)

// Ports of the upstreams of TestEgress.
const (
	tlsPort   = 8443
	plainPort = 8480
)

// eventCount is how many events a stream of the upstream has.
const eventCount = 20

// egressUpstream is the internet of TestEgress: it speaks every kind of stream.
type egressUpstream struct {
	caFile string
	seen   chan struct{} // an event was acknowledged

	mu       sync.Mutex
	together map[string]*sync.WaitGroup // by the run's name
	bodies   []string                   // of requests to /body, with their token
}

// startEgressUpstream serves with TLS and, for the table's rows alone, without.
func startEgressUpstream(t *testing.T) *egressUpstream {
	t.Helper()
	u := &egressUpstream{seen: make(chan struct{}), together: make(map[string]*sync.WaitGroup)}
	certificate, ca := newCertificate(t, []string{"upstream.test", "*.upstream.test", "*.b.wild.upstream.test"})
	u.caFile = filepath.Join(t.TempDir(), "upstream-ca.crt")
	writeFile(t, u.caFile, ca)
	mux := http.NewServeMux()
	mux.HandleFunc("/", conformance.Upstream)
	mux.HandleFunc("/ws", echo)
	mux.HandleFunc("/events", u.events)
	mux.HandleFunc("/seen", func(http.ResponseWriter, *http.Request) { u.seen <- struct{}{} })
	mux.HandleFunc("/together", u.holdTogether)
	mux.HandleFunc("/body", u.keepBody)
	mux.HandleFunc("/upload", func(w http.ResponseWriter, r *http.Request) {
		sum, err := digest(r.Body)
		if err != nil {
			sum += " " + err.Error()
		}
		_, _ = io.WriteString(w, sum)
	})
	mux.HandleFunc("/download", func(w http.ResponseWriter, r *http.Request) {
		size, err := strconv.ParseInt(r.URL.Query().Get("size"), 10, 64)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_, _ = io.Copy(w, io.LimitReader(new(pattern), size))
	})
	mux.Handle("/tools.git/", serveRepository(t, "tools.git"))
	serveAt(t, fmt.Sprintf("%s:%d", upstreamIP, tlsPort), mux, &tls.Config{Certificates: []tls.Certificate{certificate}})
	serveAt(t, fmt.Sprintf("%s:%d", upstreamIP, plainPort), http.HandlerFunc(conformance.Upstream), nil)
	return u
}

func echo(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = conn.CloseNow() }()
	for {
		kind, data, err := conn.Read(r.Context())
		if err != nil {
			return
		}
		if err := conn.Write(r.Context(), kind, data); err != nil {
			return
		}
	}
}

// events sends the next event only when the one before was acknowledged, so that what
// is held back anywhere ends the test.
func (u *egressUpstream) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for i := range eventCount {
		fmt.Fprintf(w, "data: %d\n\n", i)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-u.seen:
		case <-r.Context().Done():
			return
		}
	}
}

// holdTogether ends no stream of a run before all of it are open.
func (u *egressUpstream) holdTogether(w http.ResponseWriter, r *http.Request) {
	run := r.URL.Query().Get("run")
	n, err := strconv.Atoi(r.URL.Query().Get("n"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	u.mu.Lock()
	group := u.together[run]
	if group == nil {
		group = new(sync.WaitGroup)
		group.Add(n)
		u.together[run] = group
	}
	u.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, "first ")
	_ = http.NewResponseController(w).Flush()
	group.Done()
	group.Wait()
	_, _ = io.WriteString(w, "last ")
}

func (u *egressUpstream) keepBody(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.bodies = append(u.bodies, r.Header.Get("Authorization")+" "+string(body))
	fmt.Fprintln(w, "kept")
}

// kept returns what /body got since it was last asked.
func (u *egressUpstream) kept() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	kept := u.bodies
	u.bodies = nil
	return kept
}

// serveRepository serves a new repository with one commit over HTTP, pushes included.
func serveRepository(t *testing.T, name string) http.Handler {
	t.Helper()
	root := t.TempDir()
	for _, args := range [][]string{
		{"init", "--quiet", "--bare", "--initial-branch=main", name},
		{"-C", name, "config", "http.receivepack", "true"},
		{"clone", "--quiet", name, "work"},
		{"-C", "work", "-c", "user.name=e2e", "-c", "user.email=e2e@example.org", "commit", "--quiet", "--allow-empty", "--message", "first"},
		{"-C", "work", "push", "--quiet", "origin", "HEAD:main"},
	} {
		command{argv: append([]string{"git"}, args...), dir: root}.succeed(t)
	}
	return &cgi.Handler{Path: "/usr/lib/git-core/git-http-backend", Env: []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1"}}
}
