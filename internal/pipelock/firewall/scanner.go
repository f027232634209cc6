package firewall

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zricethezav/gitleaks/v8/detect"

	"github.com/podbottle/podbottle/internal/leak"
	"github.com/podbottle/podbottle/internal/pipelock"
	"github.com/podbottle/podbottle/internal/secret"
)

const (
	// rulesDelay keeps the compilation of the rules, some 100 ms of a processor, out of
	// the start of a bottle.
	rulesDelay = time.Second
	// decodeDepth is how often gitleaks decodes base64, hexadecimal and percent-encoding
	// before it looks again.
	decodeDepth = 2
	// maxClean bounds the memory of texts that were found clean.
	maxClean     = 4096
	maxCleanText = 1024
)

// scanner looks for secrets in what is sent: for those of the bottle by comparison,
// in every form that package leak knows, and for others with gitleaks' rules.
type scanner struct {
	known *leak.Matcher // nil when the bottle has none
	// knownHost is known for host names, which are lower-case and cut into labels.
	knownHost *leak.Matcher
	ignored   []string // names of the headers that are not scanned, canonical

	mu    sync.Mutex
	clean map[string]struct{} // short texts that the rules found nothing in
}

// rules are gitleaks' own, compiled once: they do not change and may be shared.
var rules = sync.OnceValues(func() (*detect.Detector, error) {
	d, err := detect.NewDetectorDefaultConfig()
	if err != nil {
		return nil, fmt.Errorf("gitleaks rules: %w", err)
	}
	d.MaxDecodeDepth = decodeDepth
	d.IgnoreGitleaksAllow = true // a comment that the agent writes is no permission
	return d, nil
})

// newScanner returns a scanner for the configuration; nil if it asks for none.
func newScanner(config pipelock.RequestBodyScanning, known []secret.Value) *scanner {
	if !config.Enabled {
		return nil
	}
	lower := make([]secret.Value, 0, len(known))
	for _, value := range known {
		lower = append(lower, secret.New(strings.ToLower(strings.ReplaceAll(value.Reveal(), ".", ""))))
	}
	s := &scanner{
		known: leak.New(known...), knownHost: leak.New(lower...), clean: make(map[string]struct{}),
	}
	for _, name := range config.IgnoreHeaders {
		s.ignored = append(s.ignored, http.CanonicalHeaderKey(name))
	}
	time.AfterFunc(rulesDelay, func() { _, _ = rules() })
	return s
}

// scan looks at a whole request; its body may be looked at later, while it is sent.
func (s *scanner) scan(r *http.Request, host string) error {
	if err := s.request(r, host); err != nil {
		return err
	}
	return s.body(r)
}

// random are headers whose values are random by their protocol, which gitleaks'
// rules take for keys. They are only searched for the bottle's own secrets.
var random = []string{
	"Sec-Websocket-Key", "Idempotency-Key", "If-Match", "If-None-Match", "If-Range",
	"Traceparent", "Tracestate", "Baggage", "X-Request-Id", "X-Correlation-Id",
}

// finding says what was found and where, without the secret.
type finding struct{ what, where string }

func (f finding) Error() string {
	return fmt.Sprintf("the %s contains a secret: %s", f.where, f.what)
}

// ownSecret is what a known secret is called in a finding.
const ownSecret = "a secret of this bottle"

// request scans the host, the path, the query and the header of a request.
func (s *scanner) request(r *http.Request, host string) error {
	if s.knownHost != nil {
		for _, text := range []string{host, strings.ReplaceAll(host, ".", "")} {
			if start, _ := s.knownHost.Find([]byte(text)); start >= 0 {
				return finding{ownSecret, "request host"}
			}
		}
	}
	target := r.URL.EscapedPath()
	if r.URL.RawQuery != "" {
		target += "?" + r.URL.RawQuery
	}
	if err := s.text(target, "request URL"); err != nil {
		return err
	}
	if decoded, err := url.QueryUnescape(target); err == nil && decoded != target {
		if err := s.text(decoded, "request URL"); err != nil {
			return err
		}
	}
	return s.header(r.Header, "request header")
}

func (s *scanner) header(header http.Header, where string) error {
	for name, values := range header {
		if slices.Contains(s.ignored, http.CanonicalHeaderKey(name)) {
			continue
		}
		for _, value := range values {
			if slices.Contains(random, http.CanonicalHeaderKey(name)) {
				if s.holdsKnown(value) {
					return finding{ownSecret, where + " " + name}
				}
				continue
			}
			if err := s.text(name+": "+value, where+" "+name); err != nil {
				return err
			}
		}
	}
	return nil
}

// text scans a short text. What was found clean is not scanned again: most headers
// are the same in every request.
func (s *scanner) text(text, where string) error {
	s.mu.Lock()
	_, clean := s.clean[text]
	s.mu.Unlock()
	if clean {
		return nil
	}
	if s.holdsKnown(text) {
		return finding{ownSecret, where}
	}
	if err := s.byRules(text, where); err != nil {
		return err
	}
	if len(text) <= maxCleanText {
		s.mu.Lock()
		if len(s.clean) >= maxClean {
			clear(s.clean)
		}
		s.clean[text] = struct{}{}
		s.mu.Unlock()
	}
	return nil
}

// holdsKnown reports whether text holds one of the bottle's own secrets.
func (s *scanner) holdsKnown(text string) bool {
	if s.known == nil {
		return false
	}
	start, _ := s.known.Find([]byte(text))
	return start >= 0
}

// byRules scans with gitleaks.
func (s *scanner) byRules(text, where string) error {
	detector, err := rules()
	if err != nil {
		return err
	}
	if findings := detector.DetectString(text); len(findings) > 0 {
		return finding{findings[0].RuleID, where}
	}
	return nil
}

// readKnown reads the bottle's own secrets, one a file. A missing directory means none.
func readKnown(dir string) ([]secret.Value, error) {
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("known secrets: %w", err)
	}
	var known []secret.Value
	for _, entry := range entries {
		data, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, fmt.Errorf("known secrets: %w", err)
		}
		known = append(known, parts(string(data))...)
	}
	return known, nil
}

// parts are what is looked for of one secret: all of it, and of one with several
// lines, such as a private key, every line that is long enough to mean something.
func parts(value string) []secret.Value {
	value = strings.TrimRight(value, "\r\n")
	out := []secret.Value{secret.New(value)}
	if !strings.Contains(value, "\n") {
		return out
	}
	const longLine = 32
	for line := range strings.Lines(value) {
		line = strings.TrimSpace(line)
		if len(line) >= longLine && !strings.HasPrefix(line, "-----") {
			out = append(out, secret.New(line))
		}
	}
	return out
}
