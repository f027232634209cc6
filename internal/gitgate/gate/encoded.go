package gate

import (
	"strings"

	"github.com/zricethezav/gitleaks/v8/detect/codec"
)

// Lengths from which gitleaks takes a run of characters for an encoding.
const (
	minBase64 = 16
	minHex    = 32
)

// encodedContext is what is looked at on both sides of encoded text, for a telling
// name that stands before a decoded value.
const encodedContext = 256

// encoded returns the regions in which gitleaks may decode something. As in
// regions.look, it says yes too often rather than once too little.
func encoded(text string) []region {
	var found []region
	add := func(start, end int) {
		found = append(found, linesAround(text, start-encodedContext, end+encodedContext))
	}
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case base64Value[c] < 64:
			end := i + 1
			for end < len(text) && base64Value[text[end]] < 64 {
				end++
			}
			if run := text[i:end]; len(run) >= minBase64 && looksEncoded(run) || strings.Contains(run, "U+00") {
				add(i, end)
			}
			i = end
			continue
		case c == '%' && i+2 < len(text) && isPrintableHex(text[i+1:i+3]),
			c == '\\' && i+5 < len(text) && text[i+1]|0x20 == 'u' && text[i+2:i+4] == "00" && isPrintableHex(text[i+4:i+6]):
			add(i, i+1)
		}
		i++
	}
	return merge(found)
}

// looksEncoded reports whether a run of base64 characters begins like an encoding of
// printable text.
func looksEncoded(run string) bool {
	digits := 0
	for digits < len(run) && hexValue[run[digits]] < 16 {
		digits++
	}
	if digits >= minHex {
		// Hexadecimal counts first, and then what is left of the run.
		return isPrintableHex(run[:minHex]) || len(run)-digits >= minBase64
	}
	for i := 0; i+4 <= minBase64; i += 4 {
		a, b, c, d := base64Value[run[i]], base64Value[run[i+1]], base64Value[run[i+2]], base64Value[run[i+3]]
		if !printable(a<<2|b>>4) || !printable(b<<4|c>>2) || !printable(c<<6|d) {
			return false
		}
	}
	return true
}

// isPrintableHex reports whether pairs of hexadecimal digits stand for printable characters.
func isPrintableHex(s string) bool {
	for i := 0; i+2 <= len(s); i += 2 {
		high, low := hexValue[s[i]], hexValue[s[i+1]]
		if high > 15 || low > 15 || !printable(high<<4|low) {
			return false
		}
	}
	return true
}

// printable is what gitleaks accepts as decoded text.
func printable(c byte) bool { return '\b' < c && c < 0x7f }

// base64Value and hexValue are the values of digits, 0xff for other characters. Both
// alphabets of base64 are one here.
var base64Value, hexValue = digitValues("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"),
	digitValues("0123456789abcdef")

func digitValues(alphabet string) (values [256]byte) {
	for i := range values {
		values[i] = 0xff
	}
	for i, c := range []byte(alphabet) {
		values[c] = byte(i)
	}
	switch len(alphabet) {
	case 64:
		values['-'], values['_'] = values['+'], values['/']
	case 16:
		for c := 'A'; c <= 'F'; c++ {
			values[c] = values[c|0x20]
		}
	}
	return values
}

// decodes reports whether a rule may match in what gitleaks decodes of a text, and
// whether one of the rules that need the whole text may.
func (r *regions) decodes(text, path string) (found, wide bool) {
	decoder := codec.NewDecoder()
	var segments []*codec.EncodedSegment
	for range decodeDepth {
		if text, segments = decoder.Decode(text, segments); len(segments) == 0 {
			break
		}
		regions, whole := r.look(text, path)
		found, wide = found || len(regions) > 0, wide || whole
	}
	return found, wide
}
