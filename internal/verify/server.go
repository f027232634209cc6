package verify

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/podbottle/podbottle/internal/verify/probe"
)

// The names that the bottle's sidecars know verify's servers by. The suffix is
// reserved (RFC 6761), so that no resolver has them.
const (
	nameAllowed  = "allowed.podbottle.test"
	nameGuarded  = "guarded.podbottle.test"
	nameUnlisted = "unlisted.podbottle.test"
)

// metricsPort is where egress answers on the pod's loopback (docs/egress.md).
const metricsPort = 9901

// servers are what the probes must reach, and must not. They listen on the host
// while verify runs, and remember the marks that arrive.
type servers struct {
	pattern *regexp.Regexp // of all marks of the run
	token   string         // the credential that egress injects
	// caPEM is the authority of the HTTPS server's certificate.
	caPEM []byte
	probe.Server
	close []io.Closer

	mu   sync.Mutex
	seen map[string]string // mark → the server that got it where nothing should
	got  map[string]bool   // marks of requests for the allowed host and path
}

// startServers listens on ports that the kernel chooses. addr is how the pod
// reaches this machine.
func startServers(ctx context.Context, addr netip.Addr, mark, token string) (*servers, error) {
	s := &servers{
		pattern: regexp.MustCompile(regexp.QuoteMeta(mark) + `-[a-z]+-[0-9]+`), token: token,
		seen: map[string]string{}, got: map[string]bool{},
	}
	s.Server = probe.Server{Allowed: nameAllowed, Guarded: nameGuarded, GuardedPort: metricsPort, Unlisted: nameUnlisted, Addr: addr}
	certificate, err := s.certificate()
	if err != nil {
		return nil, err
	}
	var config net.ListenConfig
	listen := func(address string) (net.Listener, uint16, error) {
		l, err := config.Listen(ctx, "tcp", address)
		if err != nil {
			return nil, 0, err
		}
		s.close = append(s.close, l)
		return l, uint16(l.Addr().(*net.TCPAddr).Port), nil
	}
	web, port, err := listen("0.0.0.0:0")
	if err != nil {
		return nil, err
	}
	other, otherPort, err := listen("0.0.0.0:0")
	if err != nil {
		return nil, s.failed(err)
	}
	loopback, loopbackPort, err := listen("127.0.0.1:0")
	if err != nil {
		return nil, s.failed(err)
	}
	dns, err := config.ListenPacket(ctx, "udp", "0.0.0.0:0")
	if err != nil {
		return nil, s.failed(err)
	}
	s.close = append(s.close, dns)
	s.Port, s.Other, s.Loopback, s.DNS = port, otherPort, loopbackPort, uint16(dns.LocalAddr().(*net.UDPAddr).Port)

	server := &http.Server{
		Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
	}
	s.close = append(s.close, server)
	go func() { _ = server.ServeTLS(web, "", "") }()
	go s.accept(other, "a port that the route does not have")
	go s.accept(loopback, "the host's loopback")
	go s.answer(dns)
	return s, nil
}

func (s *servers) failed(err error) error {
	s.stop()
	return err
}

func (s *servers) stop() {
	for _, c := range s.close {
		_ = c.Close()
	}
}

// note remembers the marks in what a server should not have got.
func (s *servers) note(where, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, mark := range s.marks(text) {
		s.seen[mark] = where
	}
}

// expect remembers the marks in a request that was allowed.
func (s *servers) expect(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, mark := range s.marks(text) {
		s.got[mark] = true
	}
}

func (s *servers) marks(text string) []string {
	return s.pattern.FindAllString(text, -1)
}

// arrived tells whether an allowed request with the mark came.
func (s *servers) arrived(mark string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got[mark]
}

// where tells which server got a mark that it should not have; empty for none.
func (s *servers) where(mark string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[mark]
}

// serve answers below /open/, and sends the credential back below /echo/.
func (s *servers) serve(w http.ResponseWriter, r *http.Request) {
	got := r.Header.Get("Authorization")
	kind, isEcho := strings.CutPrefix(r.URL.Path, "/echo/")
	host := net.JoinHostPort(s.Allowed, fmt.Sprint(s.Port))
	switch {
	case r.Host != host:
		s.note("the server, for the host "+r.Host, r.RequestURI)
	case !isEcho && !strings.HasPrefix(r.URL.Path, "/open/"):
		s.note("the server, for the path "+r.URL.Path, r.RequestURI)
	case got == "Bearer "+s.token:
		s.expect(r.RequestURI)
	}
	if !isEcho {
		fmt.Fprintf(w, "path %s\n", r.URL.Path)
		return
	}
	kind, _, _ = strings.Cut(kind, "/")
	switch kind {
	case "header":
		w.Header().Set("X-Echo", got)
	case "redirect":
		w.Header().Set("Location", "https://"+nameAllowed+"/open/?token="+s.token)
		w.WriteHeader(http.StatusFound)
	case "gzip":
		var body bytes.Buffer
		z := gzip.NewWriter(&body)
		_, _ = io.WriteString(z, "you sent "+got)
		_ = z.Close()
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(body.Bytes())
	case "chunks":
		for _, piece := range strings.SplitAfter("you sent "+got, "") {
			_, _ = io.WriteString(w, piece)
			w.(http.Flusher).Flush()
		}
	case "error":
		http.Error(w, "bad credential "+got, http.StatusUnauthorized)
	default:
		fmt.Fprintf(w, "you sent %s\n", got)
	}
}

// accept notes that somebody connected, and what he sent.
func (s *servers) accept(l net.Listener, where string) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
			buffer := make([]byte, 4096)
			n, _ := conn.Read(buffer)
			s.note(where, string(buffer[:n]))
			_, _ = conn.Write([]byte("ok\n"))
		}()
	}
}

// answer sends every datagram back.
func (s *servers) answer(conn net.PacketConn) {
	buffer := make([]byte, 4096)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		s.note("the resolver", string(buffer[:n]))
		_, _ = conn.WriteTo(buffer[:n], from)
	}
}

// certificate makes a certificate of its own for the server's names.
func (s *servers) certificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "podbottle verify"}, DNSNames: []string{nameAllowed, nameGuarded, nameUnlisted},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	s.caPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
