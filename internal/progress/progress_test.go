package progress

import (
	"io"
	"strings"
	"testing"
)

// What a builder says is passed through, made visible, or only the steps are shown.
func TestTextBesideSteps(t *testing.T) {
	for _, tt := range []struct {
		make  func(io.Writer) *Status
		shown bool
	}{{New, true}, {Steps, false}} {
		var out strings.Builder
		s := tt.make(&out)
		done := s.Step("build x")
		if _, err := io.WriteString(s.Writer(), "a\x1b[31mb\n"); err != nil {
			t.Error(err)
		}
		done(io.EOF)
		if !strings.Contains(out.String(), " ✗ build x (") || strings.Contains(out.String(), "a<ESC>[31mb\n") != tt.shown || s.Shown() != tt.shown {
			t.Errorf("shown %v: %q", tt.shown, out.String())
		}
	}
}
