package gate

import (
	"encoding/base64"
	"strings"
)

// block is base64 in a text that gitleaks leaves alone, text[start:end], and what it
// stands for: base64 that is wrapped into lines, as base64(1) does, of which gitleaks
// decodes each line by itself, and base64 that happens to have letters only, which it
// takes for a long word.
type block struct {
	start, end int
	decoded    string
}

// blocks finds the blocks of a text that begin like printable text.
func blocks(text string) []block {
	var found []block
	for i := 0; i < len(text); {
		if base64Value[text[i]] >= 64 {
			i++
			continue
		}
		end := i + runLength(text[i:])
		if end-i >= minBase64 {
			last, joined := unwrap(text, i, end)
			if (last > end || isLetters(joined)) && looksEncoded(joined) {
				found = append(found, block{i, last, decodeBase64(joined)})
			}
			end = last
		}
		i = end
	}
	return found
}

// runLength is the number of base64 characters that a text begins with.
func runLength(text string) int {
	n := 0
	for n < len(text) && base64Value[text[n]] < 64 {
		n++
	}
	return n
}

// unwrap joins a run, text[start:end], with those that fill the lines below it as
// wide as it is, up to a narrower one. It returns where the last one ends.
func unwrap(text string, start, end int) (last int, joined string) {
	width := end - start
	var all strings.Builder
	all.WriteString(text[start:end])
	for last = end; ; {
		rest := strings.TrimPrefix(text[last:], "\r")
		if !strings.HasPrefix(rest, "\n") {
			break
		}
		next := strings.TrimLeft(rest, "\n\t ")
		n := runLength(next)
		if n == 0 || n > width || strings.Count(rest[:len(rest)-len(next)], "\n") > 1 {
			break
		}
		all.WriteString(next[:n])
		last = len(text) - len(next) + n
		if n < width {
			break
		}
	}
	return last, all.String()
}

func isLetters(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < 'A' || r > 'z' || 'Z' < r && r < 'a' }) < 0
}

// decodeBase64 decodes either alphabet, without what fills up the last group.
func decodeBase64(s string) string {
	if len(s)%4 == 1 {
		s = s[:len(s)-1] // no encoding ends so: the rest is another word's
	}
	decoded, err := base64.RawStdEncoding.DecodeString(strings.NewReplacer("-", "+", "_", "/").Replace(s))
	if err != nil {
		return ""
	}
	return string(decoded)
}
