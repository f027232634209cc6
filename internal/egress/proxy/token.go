package proxy

import (
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/leak"
	"github.com/podbottle/podbottle/internal/secret"
)

// tokenAge is how old a value may be that is used without reading its file again: a
// slot may be filled, changed or emptied while the bottle runs.
const tokenAge = 100 * time.Millisecond

// tokens is the directory with one file a slot.
type tokens struct {
	dir string

	mu    sync.Mutex
	slots map[string]slot
}

// slot is what was last read from a file, and what masks it in a response.
type slot struct {
	value   secret.Value
	matcher *leak.Matcher // nil for a value that is too short to look for
	read    time.Time
}

// get returns the value of a slot; it is empty where there is none to inject.
func (t *tokens) get(name string) slot {
	t.mu.Lock()
	defer t.mu.Unlock()
	known := t.slots[name]
	now := time.Now()
	if now.Sub(known.read) < tokenAge {
		return known
	}
	value := t.load(name)
	if !value.Equal(known.value) {
		known.value, known.matcher = value, leak.New(value)
	}
	known.read = now
	if t.slots == nil {
		t.slots = make(map[string]slot)
	}
	t.slots[name] = known
	return known
}

// load reads a slot's file. A missing, unreadable or over-long file, and a value that
// no header can hold, count as empty.
func (t *tokens) load(name string) secret.Value {
	data, err := os.ReadFile(filepath.Join(t.dir, name))
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
