package footprint

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestReleaseLaterReleasesOnceForManyCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		r := releaser{release: func() { calls.Add(1) }}
		for want := int32(1); want <= 2; want++ {
			for range 3 {
				r.arm()
			}
			if time.Sleep(delay - time.Nanosecond); calls.Load() != want-1 {
				t.Fatalf("%d calls before the time", calls.Load())
			}
			time.Sleep(time.Nanosecond)
			if synctest.Wait(); calls.Load() != want {
				t.Fatalf("%d calls, want %d", calls.Load(), want)
			}
		}
	})
}

func TestReadOnlyMapping(t *testing.T) {
	const program = "/podbottle-sidecar"
	for line, want := range map[string]bool{
		"00400000-00b85000 r-xp 00000000 00:2f 131 /podbottle-sidecar":         true,
		"00b85000-013d4000 r--p 00785000 00:2f 131 /podbottle-sidecar":         true,
		"013d4000-01424000 rw-p 00fd4000 00:2f 131 /podbottle-sidecar":         false,
		"00b85000-013d4000 r--s 00785000 00:2f 131 /podbottle-sidecar":         false,
		"00b85000-013d4000 r--p 00785000 00:2f 131 /usr/lib/podbottle-sidecar": false,
		"7ffd8d3f5000-7ffd8d3f7000 r-xp 00000000 00:00 0 [vdso]":               false,
		"c000000000-c000400000 rw-p 00000000 00:00 0":                          false,
		"": false,
	} {
		start, size, ok := readOnlyMapping(line, program)
		if ok != want || ok && (start == 0 || size == 0) {
			t.Errorf("%q: %x %x %v", line, start, size, ok)
		}
	}
	Release() // this program goes on after it
}
