//go:build e2e

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// The public addresses of the test host, and the names that stand for them in
// its /etc/hosts and its resolver.
const (
	upstreamIP = "203.0.113.10" // upstream.test, api.upstream.test, git.upstream.test
	otherIP    = "203.0.113.11" // other.upstream.test, denied.test
)

// upstream is a real HTTPS server on the test host's internet. It remembers every
// request; its certificate comes from an authority of its own, so a client has to
// be told to trust caFile.
type upstream struct {
	caFile string

	mu   sync.Mutex
	seen []request
}

// request is a request that an upstream got, whole.
type request struct {
	at                        time.Time
	method, host, path, proto string
	serverName                string // the name in the TLS handshake (SNI)
	header                    http.Header
	body                      string
}

// startUpstream serves HTTPS at address, such as "203.0.113.10:443", until the
// test ends. A nil handler answers every request with 200 and "upstream".
func startUpstream(t testing.TB, address string, handler http.Handler) *upstream {
	t.Helper()
	names := []string{"upstream.test", "*.upstream.test", "denied.test"}
	certificate, ca := newCertificate(t, names)
	u := &upstream{caFile: filepath.Join(t.TempDir(), "upstream-ca.crt")}
	writeFile(t, u.caFile, ca)
	if handler == nil {
		handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "upstream") })
	}
	serveAt(t, address, u.record(handler), &tls.Config{Certificates: []tls.Certificate{certificate}})
	return u
}

// serveAt serves HTTP at an address until the test ends, with TLS if config is not nil.
func serveAt(t testing.TB, address string, handler http.Handler, config *tls.Config) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler, TLSConfig: config, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan error, 1)
	go func() {
		if config == nil {
			done <- server.Serve(listener)
			return
		}
		done <- server.ServeTLS(listener, "", "")
	}()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("upstream at %s: %v", address, err)
		}
	})
}

// requests returns what the server has seen so far, in order.
func (u *upstream) requests() []request {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.seen)
}

func (u *upstream) record(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 16<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		u.mu.Lock()
		u.seen = append(u.seen, request{
			at: time.Now(), method: r.Method, host: r.Host, path: r.URL.RequestURI(), proto: r.Proto,
			serverName: r.TLS.ServerName, header: r.Header.Clone(), body: string(body),
		})
		u.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}

// newCertificate makes an authority and a certificate for the names, and returns
// the certificate with its key, and the authority in PEM.
func newCertificate(t testing.TB, names []string) (tls.Certificate, string) {
	t.Helper()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "e2e upstream CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	authorityKey, authorityDER := sign(t, authority, authority, nil)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		IPAddresses: []net.IP{net.ParseIP(upstreamIP), net.ParseIP(otherIP)},
		NotBefore:   authority.NotBefore, NotAfter: authority.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	key, der := sign(t, leaf, authority, authorityKey)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authorityDER})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, string(ca)
}

// sign makes a key for the template and a certificate signed by the parent's key;
// without one it signs itself.
func sign(t testing.TB, template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if parentKey == nil {
		parentKey = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	return key, der
}
