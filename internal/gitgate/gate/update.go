package gate

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/podbottle/podbottle/internal/gitgate"
)

// parseUpdates reads what git gives a pre-receive hook (githooks(5)): one line
// "<old> <new> <ref>" for each ref.
func parseUpdates(input []byte, limit int) ([]gitgate.Update, error) {
	var updates []gitgate.Update
	seen := map[string]bool{}
	for line := range bytes.Lines(input) {
		fields := strings.SplitN(strings.TrimSuffix(string(line), "\n"), " ", 3)
		if len(fields) != 3 || !isObjectName(fields[0]) || !isObjectName(fields[1]) || len(fields[0]) != len(fields[1]) || !isRefName(fields[2]) {
			return nil, errors.New("git named an update in a way that the gate does not know")
		}
		if seen[fields[2]] {
			return nil, fmt.Errorf("a ref is updated twice")
		}
		seen[fields[2]] = true
		if updates = append(updates, gitgate.Update{Old: fields[0], New: fields[1], Ref: fields[2]}); len(updates) > limit {
			return nil, fmt.Errorf("the push changes more than %d refs; push them in several parts", limit)
		}
	}
	if len(updates) == 0 {
		return nil, errors.New("git named no update")
	}
	return updates, nil
}

// isRefName checks what git has checked before (git-check-ref-format(1)), as far as
// it matters where the name becomes part of a refspec or an option.
func isRefName(s string) bool {
	return strings.HasPrefix(s, "refs/") && !strings.HasSuffix(s, "/") && !strings.Contains(s, "..") &&
		strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`~^:?*[\`, r) }) < 0
}
