package manifest

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// Error is a fault in a manifest file (the seed's ManifestError).
type Error struct {
	File string // as opened
	Line int    // 1-based; 0 when the fault is in no line
	Msg  string // what is wrong and how to mend it; holds no value of a variable
}

// Error gives file:line: message. Control characters, which may come from a
// repository's file, are shown as escapes.
func (e *Error) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("%s:%d: %s", visible(e.File), e.Line, visible(e.Msg))
	}
	return fmt.Sprintf("%s: %s", visible(e.File), visible(e.Msg))
}

// visible escapes what a terminal would act upon.
func visible(s string) string {
	if strings.IndexFunc(s, hidden) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if hidden(r) {
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// hidden reports control and format characters: escapes, bidirectional marks, zero-width characters.
func hidden(r rune) bool { return !unicode.IsPrint(r) }
