// Package mcpserver is the supervise sidecar: the MCP server through which an
// agent asks for more than its bottle allows. It puts each request into the
// queue, waits for the operator's answer and hands it back. It decides nothing,
// holds no secret, and reaches nothing but its own queue.
package mcpserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"golang.org/x/net/netutil"
	"golang.org/x/time/rate"

	"github.com/podbottle/podbottle/internal/audit"
	"github.com/podbottle/podbottle/internal/supervise"
)

// Config is what one server needs.
type Config struct {
	Slug       string
	Version    string
	OnApproval supervise.OnApproval
	// RoutesFile is egress's live route table, which list-egress-routes shows.
	RoutesFile string
	// Containerfile is the file that capability-block would change; it may be missing.
	Containerfile string
	Limits        Limits
	// Audit takes a record of each proposal, and of each that is decided here.
	Audit *audit.Writer
	Log   *slog.Logger
}

// Limits keep an agent from filling the queue, the operator's screen or the
// sidecar's memory. Over any of them a call fails at once.
type Limits struct {
	Pending  int           // proposals without an answer
	Burst    int           // proposals in a row
	Every    time.Duration // then one more each
	Calls    int           // tool calls at the same time
	Conns    int           // connections at the same time
	Archived int           // decided proposals that are kept for proposal-status
}

// DefaultLimits are generous for a person who reads each proposal.
var DefaultLimits = Limits{Pending: 16, Burst: 16, Every: 20 * time.Second, Calls: 32, Conns: 64, Archived: 200}

// maxBody bounds a request: a proposal with its largest payload fits.
const maxBody = supervise.MaxProposal

// bodyTime bounds how long a client may take to send a request.
const bodyTime = 10 * time.Second

// Server answers one bottle's agent.
type Server struct {
	config Config
	queue  *supervise.Queue
	rate   *rate.Limiter
	calls  chan struct{} // one token a running tool call

	admission sync.Mutex // one proposal is checked against the limits and written at a time
	listing   sync.Mutex // one list is read at a time: proposals may be large

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when the queue has changed
}

// New makes a server on an open queue.
func New(config Config, queue *supervise.Queue) *Server {
	return &Server{
		config:  config,
		queue:   queue,
		rate:    rate.NewLimiter(rate.Every(config.Limits.Every), config.Limits.Burst),
		calls:   make(chan struct{}, config.Limits.Calls),
		changed: make(chan struct{}),
	}
}

// Serve answers on the listener until the context ends. It returns nil then, at
// most a second later.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	watched := make(chan error, 1)
	go func() { watched <- s.watch(watching) }()

	server := &http.Server{
		Handler:           s.handler(ctx),
		ReadHeaderTimeout: bodyTime,
		IdleTimeout:       5 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.config.Log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(netutil.LimitListener(listener, s.config.Limits.Conns)) }()

	var err error
	select {
	case <-ctx.Done():
	case err = <-watched:
	case err = <-served:
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 800*time.Millisecond)
	defer cancel()
	if server.Shutdown(closing) != nil {
		_ = server.Close()
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// gone is the context key of the channel that closes when a call's connection
// ends. The SDK detaches a call from its request, so it would wait on for nobody.
type gone struct{}

// handler is the MCP endpoint, the same on every path. It keeps no session: each
// request stands alone, so a restarted server does not cost the agent its
// connection, and an agent cannot make it remember anything.
func (s *Server) handler(ctx context.Context) http.Handler {
	server := mcp.NewServer(&mcp.Implementation{Name: "bot-bottle-supervise", Title: "podbottle supervise", Version: s.config.Version}, &mcp.ServerOptions{
		Instructions: instructions,
		//nolint:staticcheck // MCP 2026-07-28 deprecates logging (SEP-2577); clients that ask for no progress get no other sign of life
		Capabilities: &mcp.ServerCapabilities{Logging: &mcp.LoggingCapabilities{}},
	})
	s.addTools(ctx, server)
	streamable := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{
		Stateless:                    true,
		MaxRequestBodyBytes:          maxBody,
		PropagateRequestCancellation: true,
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		if err := control.SetReadDeadline(time.Now().Add(bodyTime)); err != nil {
			http.Error(w, "internal error", http.StatusInternalServerError)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		var tooLarge *http.MaxBytesError
		switch {
		case errors.As(err, &tooLarge):
			http.Error(w, fmt.Sprintf("request body exceeds %d bytes", maxBody), http.StatusRequestEntityTooLarge)
			return
		case err != nil:
			http.Error(w, "request body was not received", http.StatusBadRequest)
			return
		}
		_ = control.SetReadDeadline(time.Time{})
		r = r.WithContext(context.WithValue(r.Context(), gone{}, r.Context().Done()))
		r.Body = io.NopCloser(bytes.NewReader(body))
		streamable.ServeHTTP(w, r)
	})
}

// enter takes one of the places for running calls.
func (s *Server) enter() (leave func(), err error) {
	select {
	case s.calls <- struct{}{}:
		return func() { <-s.calls }, nil
	default:
		return nil, fmt.Errorf("too many calls at the same time (%d); wait for one to end", s.config.Limits.Calls)
	}
}
