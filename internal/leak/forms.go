package leak

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/url"
	"strings"
)

// forms returns the ways in which a secret may be written in a message.
func forms(s string) [][]byte {
	var out [][]byte
	add := func(forms ...string) {
		for _, f := range forms {
			if len(f) >= MinSecret {
				out = append(out, []byte(f))
			}
		}
	}
	add(s, html.EscapeString(s))
	for _, quoted := range []string{jsonString(s, true), jsonString(s, false)} {
		add(quoted, strings.ReplaceAll(quoted, "/", `\/`))
	}
	for _, escaped := range []string{url.QueryEscape(s), url.PathEscape(s), percentEncode(s)} {
		add(escaped, lowerEscapes(escaped))
	}
	add(hex.EncodeToString([]byte(s)), strings.ToUpper(hex.EncodeToString([]byte(s))))
	add(base64Cores(s)...)
	return out
}

// jsonString is s as JSON writers put it, without the quotes; some of them escape
// the characters that are special in HTML.
func jsonString(s string, escapeHTML bool) string {
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(escapeHTML)
	_ = encoder.Encode(s) // a string always has a JSON form
	quoted := strings.TrimSuffix(out.String(), "\n")
	return quoted[1 : len(quoted)-1]
}

// percentEncode encodes all but the unreserved characters (RFC 3986, section 2.3),
// the way most languages' encoders for URL components do.
func percentEncode(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}

// lowerEscapes writes the digits of percent-encodings in lower case.
func lowerEscapes(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:], strings.ToLower(string(b[i+1:i+3])))
		}
	}
	return string(b)
}

// base64Cores returns what base64 makes of s wherever it lies in a longer text:
// for each of the three alignments the characters that depend on s alone, in the
// standard and in the URL alphabet (RFC 4648).
func base64Cores(s string) []string {
	var cores []string
	for offset := range 3 {
		padded := strings.Repeat("\x00", offset) + s
		start, end := (offset*8+5)/6, len(padded)*8/6
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			cores = append(cores, encoding.EncodeToString([]byte(padded))[start:end])
		}
	}
	return cores
}
