// Package visible makes text from an untrusted source safe to print for a
// person. What an agent writes can hold terminal commands (ANSI, OSC 8, OSC 52),
// directional controls that reorder a line (Unicode TR 36 and TR 39), characters
// without a shape, and letters of one script that look like another's. Every
// such character comes out as its code point between angle brackets, so the
// reader sees that it was there.
package visible

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// maxMarks is how many combining marks may follow one another; natural
// languages stay below it, text that smears over the lines above does not.
const maxMarks = 2

// String returns s as one line without anything that a terminal or a reader
// could take for something else: line breaks, tabs and other controls, bidi and
// zero-width characters, unassigned and private-use code points, spaces other
// than U+0020, long runs of combining marks, and bytes that are not UTF-8.
// Letters, digits, punctuation and symbols of every script stay.
func String(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	marks := 0
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			fmt.Fprintf(&b, "<%02X>", s[i])
			i++
			marks = 0
			continue
		}
		if unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Me, r) {
			marks++
		} else {
			marks = 0
		}
		switch {
		case r == '\n':
			b.WriteString("<LF>")
		case r == '\r':
			b.WriteString("<CR>")
		case r == '\t':
			b.WriteString("<TAB>")
		case r == '\x1b':
			b.WriteString("<ESC>")
		case hidden(r) || marks > maxMarks:
			fmt.Fprintf(&b, "<U+%04X>", r)
		default:
			b.WriteString(s[i : i+size])
		}
		i += size
	}
	return b.String()
}

// Lines splits s at its line feeds and returns each line through String. A tab
// becomes four spaces and a carriage return before a line feed is dropped, since
// both are usual in files; anywhere else a carriage return is shown.
func Lines(s string) []string {
	lines := strings.Split(strings.TrimSuffix(s, "\n"), "\n")
	for i, line := range lines {
		line = strings.TrimSuffix(line, "\r")
		lines[i] = String(strings.ReplaceAll(line, "\t", "    "))
	}
	return lines
}

// JSON returns a JSON text without insignificant space, in which what String would
// replace is escaped: the same value, safe to print.
func JSON(text []byte) (string, error) {
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		return "", err
	}
	var b strings.Builder
	b.Grow(compact.Len())
	marks := 0
	for _, r := range compact.String() { // what is no UTF-8 becomes U+FFFD, as in every JSON reader
		if unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Me, r) {
			marks++
		} else {
			marks = 0
		}
		switch {
		case !hidden(r) && marks <= maxMarks:
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String(), nil
}

// Marshal is JSON of a value that is not JSON yet.
func Marshal(value any) (string, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return "", err
	}
	return JSON(text)
}

// Command is a list of arguments as a shell reads it, made visible as by String.
func Command(argv []string) string {
	words := make([]string, 0, len(argv))
	for _, word := range argv {
		if word == "" || strings.IndexFunc(word, needsQuotes) >= 0 {
			word = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
		words = append(words, word)
	}
	return String(strings.Join(words, " "))
}

// needsQuotes reports whether a shell could take r for more than itself.
func needsQuotes(r rune) bool {
	plain := unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("-_./:=@%+,", r)
	return !plain
}

// Cut shortens s to at most limit characters (runes), the last of which then is "…".
func Cut(s string, limit int) string {
	for at := range s {
		if limit--; limit == 0 {
			if end := s[at:]; utf8.RuneCountInString(end) > 1 {
				return s[:at] + "…"
			}
		}
	}
	return s
}

// Clean reports whether String would return s unchanged.
func Clean(s string) bool { return String(s) == s }

// hidden reports whether r has no shape of its own or changes how others are shown.
func hidden(r rune) bool {
	switch {
	case r == ' ':
		return false
	case r == '\u2800': // braille pattern blank: a symbol by category, a space to the eye
		return true
	case !unicode.IsGraphic(r), unicode.Is(unicode.Zs, r):
		return true
	}
	return unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector,
		unicode.Bidi_Control, unicode.Cf, unicode.Co, unicode.Noncharacter_Code_Point)
}
