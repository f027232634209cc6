package verify

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/verify.md anew")

const docsFile = "../../docs/verify.md"

// TestCatalogueIsDocumented keeps docs/verify.md the same as the code.
func TestCatalogueIsDocumented(t *testing.T) {
	text, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	const start, end = "<!-- catalogue -->\n", "<!-- end of the catalogue -->"
	before, rest, ok := strings.Cut(string(text), start)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no lines %q and %q", docsFile, start, end)
	}
	want := before + start + table() + end + after
	if *update {
		if err := os.WriteFile(docsFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(text) != want {
		t.Errorf("%s is older than the code; run: go test ./internal/verify -update", docsFile)
	}
}

func table() string {
	var b bytes.Buffer
	class := ""
	for _, p := range Catalogue() {
		if p.Class() != class {
			class = p.Class()
			fmt.Fprintf(&b, "\n### %s\n\n| id | what is tried | what must succeed beside it | what would be a breach |\n|---|---|---|---|\n", class)
		}
		note := ""
		if p.Root {
			note += " (as root too)"
		}
		if p.GVisor {
			note += " (needs gVisor)"
		}
		fmt.Fprintf(&b, "| `%s` | %s%s | %s | %s |\n", p.ID, p.Tried, note, p.Control, p.Breach)
	}
	b.WriteString("\n")
	return b.String()
}

func TestCatalogueIsComplete(t *testing.T) {
	id := regexp.MustCompile(`^[a-z]+\.[a-z0-9-]+$`)
	seen := map[string]bool{}
	for _, p := range Catalogue() {
		if !id.MatchString(p.ID) || seen[p.ID] {
			t.Errorf("probe id %q is malformed or used twice", p.ID)
		}
		seen[p.ID] = true
		if p.Tried == "" || p.Control == "" || p.Breach == "" {
			t.Errorf("probe %s does not say what is tried, what its control is, or what would be a breach", p.ID)
		}
	}
}
