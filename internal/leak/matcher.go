// Package leak finds known secrets in streams of bytes, in the forms in which they
// usually travel: as they are, percent-encoded, escaped for JSON or HTML, in
// base64 at any alignment, and in hexadecimal. It finds what is there by
// accident or by a simple trick; who may choose any encoding can hide from it.
package leak

import (
	"bytes"
	"slices"

	"github.com/podbottle/podbottle/internal/secret"
)

// MinSecret is the shortest secret that is looked for. Shorter ones would be
// found in ordinary text.
const MinSecret = 8

// MaxSecret is the longest secret that is looked for.
const MaxSecret = 8 << 10

// hashBits is the size of the shift table's index.
const hashBits = 12

// Matcher looks for a set of secrets (Wu and Manber's algorithm: it compares only
// where the last two bytes of a window end some pattern, and skips ahead
// otherwise). It does not change and may be shared.
type Matcher struct {
	patterns [][]byte
	window   int // bytes of every pattern that the table knows: the length of the shortest
	shift    [1 << hashBits]uint16
	bucket   map[uint16][][]byte // patterns by the hash of the window's last two bytes
	starts   [256]bool           // first bytes of patterns
	longest  int
}

// New returns a Matcher for the secrets that are neither too short nor too long;
// nil when there are none.
func New(secrets ...secret.Value) *Matcher {
	var patterns [][]byte
	for _, s := range secrets {
		if n := len(s.Reveal()); n >= MinSecret && n <= MaxSecret {
			patterns = append(patterns, forms(s.Reveal())...)
		}
	}
	if len(patterns) == 0 {
		return nil
	}
	slices.SortFunc(patterns, bytes.Compare)
	patterns = slices.CompactFunc(patterns, bytes.Equal)
	m := &Matcher{patterns: patterns, bucket: make(map[uint16][][]byte), window: len(patterns[0])}
	for _, p := range patterns {
		m.window = min(m.window, len(p))
		m.longest = max(m.longest, len(p))
		m.starts[p[0]] = true
	}
	m.fill()
	return m
}

func (m *Matcher) fill() {
	for i := range m.shift {
		m.shift[i] = uint16(m.window - 1)
	}
	for _, p := range m.patterns {
		for j := 1; j < m.window; j++ {
			h := hash(p[j-1], p[j])
			m.shift[h] = min(m.shift[h], uint16(m.window-1-j))
		}
		last := hash(p[m.window-2], p[m.window-1])
		m.bucket[last] = append(m.bucket[last], p)
	}
}

func hash(a, b byte) uint16 { return (uint16(a)<<4 ^ uint16(b)) & (1<<hashBits - 1) }

// Longest is the length of the longest form of any secret.
func (m *Matcher) Longest() int { return m.longest }

// Find returns where the first secret in text begins and ends, or -1, -1. Where
// several begin at the same place it returns the longest.
func (m *Matcher) Find(text []byte) (start, end int) {
	for i := m.window - 1; i < len(text); {
		h := hash(text[i-1], text[i])
		if skip := m.shift[h]; skip > 0 {
			i += int(skip)
			continue
		}
		start = i - m.window + 1
		longest := 0
		for _, p := range m.bucket[h] {
			if len(p) > longest && bytes.HasPrefix(text[start:], p) {
				longest = len(p)
			}
		}
		if longest > 0 {
			return start, start + longest
		}
		i++
	}
	return -1, -1
}

// Mask overwrites every secret in text with asterisks and returns how many there
// were. The length stays: sizes and frames around a secret remain true.
func (m *Matcher) Mask(text []byte) int {
	n := 0
	for {
		start, end := m.Find(text)
		if start < 0 {
			return n
		}
		overwrite(text[start:end])
		text = text[end:]
		n++
	}
}

// MaskString is Mask for a string.
func (m *Matcher) MaskString(s string) string {
	text := []byte(s)
	if m.Mask(text) == 0 {
		return s
	}
	return string(text)
}

func overwrite(p []byte) {
	for i := range p {
		p[i] = '*'
	}
}

// Pending returns the length of the longest end of text that begins a secret, and
// the length of that secret's form; 0, 0 if text ends with no beginning of one.
func (m *Matcher) Pending(text []byte) (have, of int) {
	from := max(0, len(text)-m.longest+1)
	for i := from; i < len(text); i++ {
		if !m.starts[text[i]] {
			continue
		}
		for _, p := range m.patterns {
			if len(p) > len(text)-i && bytes.HasPrefix(p, text[i:]) {
				of = max(of, len(p))
			}
		}
		if of > 0 {
			return len(text) - i, of
		}
	}
	return 0, 0
}
