package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/intercept"
)

// headerTimeout is for the header of a request.
const headerTimeout = 30 * time.Second

// helpers are the processes that this program starts of itself.
var helpers = map[string]func(args []string) error{"upstream": upstream, "relay": relay}

// upstream is the server at the end of every path. Its arguments are its address, the
// one where it takes CONNECT, and the files of its authority.
func upstream(args []string) error {
	authority, err := intercept.LoadAuthority(args[2], args[3])
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/small", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"ok":true}`) })
	mux.HandleFunc("/authorized", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	mux.HandleFunc("/bulk", bulk)
	mux.HandleFunc("/events", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: first\n\n")
	})
	mux.HandleFunc("/open", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: first\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	go func() { fail(serveConnect(args[1], authority, mux)) }()
	server := &http.Server{Addr: args[0], Handler: mux, ReadHeaderTimeout: headerTimeout, TLSConfig: &tls.Config{
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) { return authority.Leaf(hello.ServerName) },
	}}
	return server.ListenAndServeTLS("", "")
}

func bulk(w http.ResponseWriter, r *http.Request) {
	size, err := strconv.ParseInt(r.URL.Query().Get("size"), 10, 64)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	block := make([]byte, 64<<10)
	for i := range block {
		block[i] = byte(i * 7)
	}
	for size > 0 {
		n, err := w.Write(block[:min(size, int64(len(block)))])
		if err != nil {
			return
		}
		size -= int64(n)
	}
}

// serveConnect stands in the firewall's place: it ends the tunnel in the upstream's own
// process, so that egress is measured alone. It refuses what is no CONNECT, which
// egress wants to see before it is ready.
func serveConnect(address string, authority *intercept.Authority, handler http.Handler) error {
	inside := intercept.NewServer(authority, handler, io.Discard)
	go func() { fail(inside.Run()) }()
	server := &http.Server{Addr: address, ReadHeaderTimeout: headerTimeout, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		target, port, err := egress.ParseAuthority(r.RequestURI)
		if r.Method != http.MethodConnect || err != nil {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
			_ = conn.Close()
			return
		}
		// A tunnel that cannot be served is closed, and the measurement says so.
		_ = inside.Serve(context.Background(), conn, buffered.Reader, intercept.Target{Host: target, Port: port})
	})}
	return server.ListenAndServe()
}

// relayBuffer is more than a TLS record holds.
const relayBuffer = 64 << 10

// relay ends the client's TLS, opens its own to the next server and copies both ways: the
// least that any proxy can do that sees what passes. It knows no HTTP. Its arguments are
// its address, the next server's, the files of its authority, and the one that it trusts.
func relay(args []string) error {
	authority, err := intercept.LoadAuthority(args[2], args[3])
	if err != nil {
		return err
	}
	leaf, err := authority.Leaf(host)
	if err != nil {
		return err
	}
	trusted, err := os.ReadFile(args[4])
	if err != nil {
		return err
	}
	listener, err := tls.Listen("tcp", args[0], &tls.Config{Certificates: []tls.Certificate{*leaf}, DynamicRecordSizingDisabled: true})
	if err != nil {
		return err
	}
	config := &tls.Config{RootCAs: pool(trusted), ServerName: host, DynamicRecordSizingDisabled: true}
	for {
		client, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer client.Close()
			next, err := tls.Dial("tcp", args[1], config)
			if err != nil {
				return
			}
			defer next.Close()
			go func() {
				_, _ = io.CopyBuffer(next, client, make([]byte, relayBuffer))
				_ = next.CloseWrite()
			}()
			_, _ = io.CopyBuffer(client, next, make([]byte, relayBuffer))
		}()
	}
}
