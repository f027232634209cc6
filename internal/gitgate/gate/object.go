package gate

import (
	"bytes"
	"errors"
	"strings"

	"github.com/podbottle/podbottle/internal/gitgate"
)

// part is a piece of an object that is text of its own for the scan.
type part struct {
	place gitgate.Place
	text  string
}

// parseMessage takes a commit or an annotated tag apart (gitformat-pack(5) calls
// both by their header lines): who made it, further headers, and the message.
// Names of other objects are left out: they are no text. Anything that does not
// look like a header is scanned as one.
func parseMessage(raw []byte, tag bool) []part {
	header, message, _ := bytes.Cut(raw, []byte("\n\n"))
	var people, others strings.Builder
	for line := range strings.Lines(string(header)) {
		key, value, _ := strings.Cut(line, " ")
		switch key {
		case "tree", "parent", "object":
			if isObjectName(strings.TrimSuffix(value, "\n")) {
				continue
			}
			others.WriteString(line)
		case "author", "committer", "tagger":
			people.WriteString(personText(value))
		default:
			others.WriteString(line)
		}
	}
	place := gitgate.PlaceMessage
	if tag {
		place = gitgate.PlaceTag
	}
	parts := []part{
		{gitgate.PlaceAuthor, people.String()},
		{gitgate.PlaceHeader, others.String()},
		{place, string(message)},
	}
	nonEmpty := parts[:0]
	for _, p := range parts {
		if p.text != "" {
			nonEmpty = append(nonEmpty, p)
		}
	}
	return nonEmpty
}

// personText gives name and address a line each, so that no rule takes the sign
// between them for an assignment.
func personText(s string) string {
	return strings.NewReplacer(" <", "\n", "> ", "\n").Replace(s)
}

var errTree = errors.New("the tree object is damaged")

// treeNames lists the names in a tree: "<mode> <name>\0<object name>" each.
// hashSize is the length of a binary object name.
func treeNames(raw []byte, hashSize int) ([]string, error) {
	var names []string
	for len(raw) > 0 {
		entry, rest, ok := bytes.Cut(raw, []byte{0})
		_, name, spaced := bytes.Cut(entry, []byte(" "))
		if !ok || !spaced || len(rest) < hashSize {
			return nil, errTree
		}
		names = append(names, string(name))
		raw = rest[hashSize:]
	}
	return names, nil
}

// isObjectName reports whether s is a full SHA-1 or SHA-256 object name.
func isObjectName(s string) bool {
	return (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0123456789abcdef") == ""
}

// lfsPointers are how Git LFS pointer files begin, of today and of before its first release.
var lfsPointers = []string{"version https://git-lfs.github.com/spec/", "version https://hawser.github.com/spec/"}

// maxPointer bounds a pointer file (the specification says less than 1024 bytes).
const maxPointer = 1024

// isLFSPointer reports whether a file of that size that begins so is a pointer.
func isLFSPointer(begin string, size int64) bool {
	if size > maxPointer {
		return false
	}
	for _, p := range lfsPointers {
		if strings.HasPrefix(begin, p) {
			return true
		}
	}
	return false
}
