package proxy

import (
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/net/http/httpguts"

	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/leak"
	"github.com/podbottle/podbottle/internal/secret"
)

// tokens is the directory with one file a slot. It is read for every request:
// a slot may be filled, changed or emptied while the bottle runs.
type tokens struct {
	dir string

	mu       sync.Mutex
	matchers map[string]tokenMatcher // by slot
}

// tokenMatcher masks one value.
type tokenMatcher struct {
	value   secret.Value
	matcher *leak.Matcher
}

// matcher returns what masks the value of a slot, made anew when the value has changed.
func (t *tokens) matcher(slot string, value secret.Value) *leak.Matcher {
	t.mu.Lock()
	defer t.mu.Unlock()
	if known := t.matchers[slot]; known.matcher != nil && known.value.Equal(value) {
		return known.matcher
	}
	if t.matchers == nil {
		t.matchers = make(map[string]tokenMatcher)
	}
	matcher := leak.New(value)
	t.matchers[slot] = tokenMatcher{value, matcher}
	return matcher
}

// get returns the value of a slot. A missing, unreadable or over-long file, and a
// value that no header can hold, count as empty.
func (t *tokens) get(slot string) secret.Value {
	data, err := os.ReadFile(filepath.Join(t.dir, slot))
	if err != nil || len(data) > leak.MaxSecret {
		return secret.Value{}
	}
	value := strings.TrimRight(string(data), "\r\n")
	if !httpguts.ValidHeaderFieldValue(value) {
		return secret.Value{}
	}
	return secret.New(value)
}

// stripCredentials removes what the agent must not send: its own credentials, and
// every header that some route injects.
func stripCredentials(header http.Header, names []string) {
	for _, name := range names {
		header.Del(name)
	}
}

// inject sets the credential of a route.
func inject(header http.Header, route *egress.Route, token secret.Value) {
	switch route.AuthScheme {
	case egress.SchemeHeader:
		header.Set(route.AuthHeader, token.Reveal())
	case egress.SchemeBasic:
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(token.Reveal())))
	default:
		header.Set("Authorization", route.AuthScheme+" "+token.Reveal())
	}
}
