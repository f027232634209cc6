// Package denial is how the firewall tells egress why a request did not get through, in
// two headers of its answer, and how both name what is wrong with an upstream.
package denial

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strings"
	"syscall"
)

// Headers of an answer that a proxy itself gives. What an upstream sets in them must be
// taken away.
const (
	ReasonHeader = "Podbottle-Reason"
	DetailHeader = "Podbottle-Detail"
)

// Reason is why a request did not get through. The values are stable.
type Reason string

// The firewall's reasons to refuse.
const (
	Request Reason = "firewall-bad-request" // one that it does not take
	Host    Reason = "firewall-host"        // not in its allowlist
	Address Reason = "firewall-address"     // the name leads to an address that is not public
	Secret  Reason = "firewall-secret"      // in what is sent
	Coding  Reason = "firewall-coding"      // a body that cannot be scanned
)

// What can be wrong with an upstream.
const (
	Name        Reason = "name-not-resolved"
	Refused     Reason = "connection-refused"
	Timeout     Reason = "connection-timed-out"
	Certificate Reason = "upstream-certificate" // not one that is trusted for the name
	Upstream    Reason = "upstream-failed"      // anything else
)

var statuses = map[Reason]int{
	Request: http.StatusBadRequest, Host: http.StatusForbidden, Address: http.StatusForbidden,
	Secret: http.StatusForbidden, Coding: http.StatusForbidden,
	Name: http.StatusBadGateway, Refused: http.StatusBadGateway, Timeout: http.StatusGatewayTimeout,
	Certificate: http.StatusBadGateway, Upstream: http.StatusBadGateway,
}

// Status is the status of an answer with the reason; 0 for one that is not known.
func (r Reason) Status() int { return statuses[r] }

// Set puts a reason and a sentence about it into the header of an answer.
func Set(header http.Header, reason Reason, detail string) {
	header.Set(ReasonHeader, string(reason))
	header.Set(DetailHeader, Clean(detail))
}

// Take removes what Set put there and returns it; no reason if it is none that is known.
func Take(header http.Header) (reason Reason, detail string) {
	reason, detail = Reason(header.Get(ReasonHeader)), Clean(header.Get(DetailHeader))
	header.Del(ReasonHeader)
	header.Del(DetailHeader)
	if reason.Status() == 0 {
		return "", ""
	}
	return reason, detail
}

// maxDetail bounds a detail.
const maxDetail = 300

// Clean makes text that others may have had a hand in fit for a header, a record and a
// terminal: one short line of printable ASCII.
func Clean(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r == '\r':
			return -1
		case r < ' ' || r > '~':
			return '?'
		}
		return r
	}, text[:min(len(text), maxDetail)])
	return strings.TrimSpace(text)
}

// OfError names what is wrong with an upstream, from the error of a dial, a handshake or
// a request. Nothing that the upstream wrote is in the sentence.
func OfError(err error) (reason Reason, detail string) {
	var resolution *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &resolution) && resolution.IsNotFound:
		return Name, "the host's name does not exist"
	case errors.As(err, &resolution):
		return Name, "the host's name cannot be resolved: the resolver does not answer"
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused, "the host refuses the connection"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return Upstream, "there is no route to the host"
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return Timeout, "the host does not answer in time"
	}
	if detail := ofCertificate(err); detail != "" {
		return Certificate, detail
	}
	return Upstream, ofSession(err)
}

// ofCertificate is empty where the certificate is not the matter.
func ofCertificate(err error) string {
	var name x509.HostnameError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var verification *tls.CertificateVerificationError
	switch {
	case errors.As(err, &name):
		return "the host's certificate is for other names"
	case errors.As(err, &authority):
		return "the host's certificate is signed by an authority that is not trusted; the operator can name it with BOT_BOTTLE_EXTRA_CA_CERTS"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the host's certificate has expired or is not valid yet"
	case errors.As(err, &invalid), errors.As(err, &verification):
		return "the host's certificate is not valid for a server"
	}
	return ""
}

func ofSession(err error) string {
	var alert tls.AlertError
	var record tls.RecordHeaderError
	if errors.As(err, &alert) || errors.As(err, &record) {
		return "the host does not speak TLS the way it must"
	}
	return "the host does not answer as it must"
}
