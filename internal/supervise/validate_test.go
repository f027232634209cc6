package supervise_test

import (
	"strings"
	"testing"

	"github.com/podbottle/podbottle/internal/supervise"
)

// What is wrong with a host is said so that the one who asked can mend it.
func TestHostOfAnAsk(t *testing.T) {
	for host, want := range map[string]string{
		"api.example.org":      "",
		"api.example.org:8443": "write the name without a port (pipelock-block",
		"192.0.2.1:443":        "write the name without a port",
		"192.0.2.1":            "an IP address is not a host name",
		"2001:db8::1":          "an IP address is not a host name",
		"API.example.org":      "write it as api.example.org",
		"localhost":            "not the full name",
	} {
		_, err := supervise.ParseAsk([]byte("host: '" + host + "'\n"))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", host, err, want)
		}
	}
}
