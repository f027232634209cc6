package progress

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestTail(t *testing.T) {
	var tail Tail
	if _, err := io.WriteString(&tail, "short"); err != nil || tail.String() != "short" {
		t.Errorf("%q, %v", tail.String(), err)
	}
	long := strings.Repeat("x", maxTail) + "the end"
	for _, text := range []string{long, long, "y"} {
		if n, err := io.WriteString(&tail, text); n != len(text) || err != nil {
			t.Errorf("wrote %d, %v", n, err)
		}
	}
	if got := tail.String(); len(got) != maxTail || !strings.HasSuffix(got, "the endy") {
		t.Errorf("%d bytes, to %q", len(got), got[len(got)-10:])
	}
	for i := range 1 << 17 {
		fmt.Fprintln(&tail, i)
	}
	if got := tail.String(); !strings.HasSuffix(got, "131070\n131071\n") || cap(tail.kept) > 8*maxTail {
		t.Errorf("%d bytes in %d", len(got), cap(tail.kept))
	}
}
