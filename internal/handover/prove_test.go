package handover

import (
	"strings"
	"testing"
)

// This test runs without podbottle's filter, as an agent must not.
func TestAMissingFilterIsSeen(t *testing.T) {
	if err := filtered(); err == nil || !strings.Contains(err.Error(), "seccomp") {
		t.Errorf("error: %v", err)
	}
}
