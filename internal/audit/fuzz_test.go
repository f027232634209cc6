package audit

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// FuzzChain cuts a file anywhere or changes any byte of it. A part of a file is verified
// up to its last whole line; a change shows, unless it is in the last line.
func FuzzChain(f *testing.F) {
	f.Add("a", "b", "c", uint32(40), byte(0))
	f.Add("\n", `"},{"seq":9`, "\u2028\xff", uint32(200), byte('\n'))
	f.Fuzz(func(t *testing.T, one, two, three string, at uint32, to byte) {
		c := checker{prev: first}
		var whole []byte
		for _, host := range []string{one, two, three} {
			line, err := encode(Link{c.seq + 1, c.prev}, entry{host})
			if err != nil {
				return // too long
			}
			c = checker{seq: c.seq + 1, prev: hashOf(line)}
			whole = append(append(whole, line...), '\n')
		}
		if n, err := Verify(bytes.NewReader(whole)); n != 3 || err != nil {
			t.Fatalf("%q: %d lines, %v", whole, n, err)
		}
		i := int(at) % len(whole)
		part := whole[:i]
		var broken *BreakError
		want := bytes.Count(part, []byte("\n"))
		n, err := Verify(bytes.NewReader(part))
		if whole := len(part) == 0 || part[i-1] == '\n'; n != want || whole != (err == nil) || !whole && !errors.As(err, &broken) {
			t.Errorf("cut to %q: %d lines, %v", part, n, err)
		}
		changed := bytes.Clone(whole)
		changed[i] = to
		if last := bytes.LastIndexByte(whole[:len(whole)-1], '\n'); i > last || to == whole[i] {
			return
		}
		if n, err := Verify(bytes.NewReader(changed)); err == nil || n > strings.Count(string(whole[:i]), "\n")+1 {
			t.Errorf("changed to %q: %d lines, %v", changed, n, err)
		}
	})
}
