// Package secret holds values that must not be printed: tokens, keys, and the
// variables that an operator forwards to an agent.
package secret

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
)

// redacted is what every printed form of a Value says.
const redacted = "[secret]"

// Value is a secret. Every way of formatting or marshalling it gives a fixed
// text; only Reveal returns what it holds. The zero value is the empty secret.
//
// It holds a pointer because fmt prints the unexported fields of a struct
// without calling their methods: what shows there is an address.
type Value struct{ s *string }

// New wraps s.
func New(s string) Value { return Value{&s} }

// Reveal returns the secret itself. The caller keeps it out of argv, logs,
// errors and files that others can read.
func (v Value) Reveal() string {
	if v.s == nil {
		return ""
	}
	return *v.s
}

// Equal tells whether both hold the same text; it takes the same time for all
// texts of one length.
func (v Value) Equal(other Value) bool {
	return subtle.ConstantTimeCompare([]byte(v.Reveal()), []byte(other.Reveal())) == 1
}

// Empty reports whether there is no secret.
func (v Value) Empty() bool { return v.Reveal() == "" }

// String implements fmt.Stringer with a fixed text.
func (Value) String() string { return redacted }

// Format implements fmt.Formatter, so that %+v, %#v and %x are redacted too.
func (Value) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalText implements encoding.TextMarshaler, which JSON and YAML use.
func (Value) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue implements slog.LogValuer.
func (Value) LogValue() slog.Value { return slog.StringValue(redacted) }
