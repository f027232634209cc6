package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// upstream is an HTTPS server with a certificate of its own, which remembers
// the credentials that it was shown.
type upstream struct {
	caFile string
	close  func()

	mu    sync.Mutex
	shown []string
}

// startUpstream serves upstream.test and other.upstream.test; its certificate is
// written to dir, for the bottle's firewall to trust.
func startUpstream(address, dir string) (*upstream, error) {
	certificate, err := selfSigned("upstream.test", "other.upstream.test")
	if err != nil {
		return nil, err
	}
	u := &upstream{caFile: filepath.Join(dir, "upstream-ca.crt")}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]})
	if err := os.WriteFile(u.caFile, text, 0o600); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: http.HandlerFunc(u.serve), TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.ServeTLS(listener, "", "") }()
	u.close = func() { _ = server.Close() }
	return u, nil
}

func (u *upstream) serve(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	u.shown = append(u.shown, r.Header.Get("Authorization"))
	u.mu.Unlock()
	fmt.Fprintln(w, "hello from upstream")
}

func (u *upstream) saw(authorization string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Contains(u.shown, authorization)
}

func (u *upstream) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.shown)
}

func selfSigned(names ...string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "podbottle demo upstream"}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
