package cli

import (
	"testing"
	"time"
)

func TestTailLines(t *testing.T) {
	for text, want := range map[string]string{"-1": "", "0": "0", "20": "20", "1000000": "1000000"} {
		got := "unset"
		if err := (tailLines{&got}).Set(text); err != nil || got != want {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
}

func TestSinceTime(t *testing.T) {
	for text, want := range map[string]time.Time{
		"2026-01-31T08:00:00+01:00": time.Date(2026, 1, 31, 7, 0, 0, 0, time.UTC),
		"2026-01-31":                time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC),
		"1769842800.5":              time.Date(2026, 1, 31, 7, 0, 0, 5e8, time.UTC),
		"1h30m":                     time.Now().Add(-90 * time.Minute),
	} {
		var got time.Time
		if err := (sinceTime{&got}).Set(text); err != nil || got.Sub(want).Abs() > time.Minute {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
}
