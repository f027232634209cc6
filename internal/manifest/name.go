package manifest

import (
	"strings"

	"github.com/podbottle/podbottle/internal/visible"
)

// maxName bounds the names of agents, bottles and skills, which become file and container names.
const maxName = 63

// ValidName reports whether s can name an agent, a bottle or a skill: [a-z][a-z0-9-]*.
func ValidName(s string) bool {
	return s != "" && len(s) <= maxName && s[0] >= 'a' && s[0] <= 'z' &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// ValidVariable reports whether s can name an environment variable: [A-Za-z_][A-Za-z0-9_]*.
func ValidVariable(s string) bool {
	if s == "" || (s[0] >= '0' && s[0] <= '9') {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) < 0
}

// validRepository reports whether s can be a repository's name on the gate:
// [A-Za-z0-9._-]+, neither an option nor a hidden file, without .git at the end.
func validRepository(s string) bool {
	if s == "" || len(s) > 100 || s[0] == '-' || s[0] == '.' || strings.HasSuffix(s, ".git") {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return !strings.ContainsRune("._-", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) < 0
}

// validLabel checks a text of the user's own that is shown in lists.
func validLabel(s string) bool {
	return len(s) <= 64 && visible.Clean(s)
}
