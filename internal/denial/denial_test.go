package denial

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestTakeReturnsWhatSetPutThere(t *testing.T) {
	for reason := range statuses {
		header := http.Header{}
		Set(header, reason, "a sentence")
		if got, detail := Take(header); got != reason || detail != "a sentence" {
			t.Errorf("%s: got %q, %q", reason, got, detail)
		}
		if len(header) != 0 {
			t.Errorf("%s: %v is left", reason, header)
		}
	}
}

func TestTakeDropsReasonsOfNobody(t *testing.T) {
	for _, forged := range []string{"", "allowed", "host-not-allowed", "firewall", "Firewall-Secret"} {
		header := http.Header{ReasonHeader: {forged}, DetailHeader: {"x"}}
		if reason, detail := Take(header); reason != "" || detail != "" {
			t.Errorf("%q is taken as %q, %q", forged, reason, detail)
		}
		if len(header) != 0 {
			t.Errorf("%q is left in the header", forged)
		}
	}
}

func TestCleanLeavesOneShortLineOfASCII(t *testing.T) {
	for text, want := range map[string]string{
		"plain":                     "plain",
		" two\r\nlines\n":           "two lines",
		"a\x1b[31mred\x07\x00":      "a?[31mred??",
		"bidi \u202eevil \u200b":    "bidi ?evil ?",
		"\x9b31m":                   "?31m",
		strings.Repeat("x", 100000): strings.Repeat("x", maxDetail),
		strings.Repeat("ä", 100000): strings.Repeat("?", maxDetail/2),
	} {
		if got := Clean(text); got != want {
			t.Errorf("%.40q became %.60q, want %.60q", text, got, want)
		}
	}
}

func TestOfError(t *testing.T) {
	dial := func(err error) error { return &net.OpError{Op: "dial", Err: err} }
	verify := func(err error) error { return &tls.CertificateVerificationError{Err: err} }
	for name, tt := range map[string]struct {
		err    error
		reason Reason
		part   string // of the sentence
	}{
		"no such name":         {dial(&net.DNSError{IsNotFound: true}), Name, "does not exist"},
		"no resolver":          {dial(&net.DNSError{IsTimeout: true}), Name, "resolver"},
		"refused":              {dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), Refused, "refuses"},
		"no route":             {dial(os.NewSyscallError("connect", syscall.EHOSTUNREACH)), Upstream, "route"},
		"timed out":            {dial(os.ErrDeadlineExceeded), Timeout, "in time"},
		"the context's end":    {fmt.Errorf("dial: %w", context.DeadlineExceeded), Timeout, "in time"},
		"unknown authority":    {verify(x509.UnknownAuthorityError{}), Certificate, "BOT_BOTTLE_EXTRA_CA_CERTS"},
		"another name":         {verify(x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{"evil\x1b"}}, Host: "a"}), Certificate, "other names"},
		"expired":              {verify(x509.CertificateInvalidError{Reason: x509.Expired}), Certificate, "expired"},
		"no server's":          {verify(x509.CertificateInvalidError{Reason: x509.IncompatibleUsage, Detail: "evil"}), Certificate, "not valid for a server"},
		"a client hello's end": {tls.AlertError(40), Upstream, "TLS"},
		"no TLS":               {tls.RecordHeaderError{Msg: "evil"}, Upstream, "TLS"},
		"anything else":        {errors.New("evil"), Upstream, "as it must"},
	} {
		reason, detail := OfError(fmt.Errorf("request: %w", tt.err))
		if reason != tt.reason || !strings.Contains(detail, tt.part) || strings.Contains(detail, "evil") {
			t.Errorf("%s: %s, %q; want %s, %q", name, reason, detail, tt.reason, tt.part)
		}
		if reason.Status() < 500 {
			t.Errorf("%s: status %d", name, reason.Status())
		}
	}
}
