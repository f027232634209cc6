package seccomp

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containers/common/pkg/seccomp"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden file anew")

// TestDifference compares what the profile changes of Podman's default with what was
// read and found right, for a container without capabilities.
func TestDifference(t *testing.T) {
	before, after := decisions(seccomp.DefaultProfile()), decisions(Profile())
	both := maps.Clone(before)
	maps.Copy(both, after)
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(both)) {
		for _, line := range before[name] {
			if !slices.Contains(after[name], line) {
				lines = append(lines, "- "+name+": "+line)
			}
		}
		for _, line := range after[name] {
			if !slices.Contains(before[name], line) {
				lines = append(lines, "+ "+name+": "+line)
			}
		}
	}
	got, path := strings.Join(lines, "\n")+"\n", filepath.Join("testdata", "difference.txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (go test -update writes it anew):\n%s", path, diff)
	}
}

// decisions says what happens to each call in a container without capabilities, on amd64 and arm64.
func decisions(p *seccomp.Seccomp) map[string][]string {
	all := map[string][]string{"programs for 32 bits": {"refused"}}
	for _, a := range p.ArchMap {
		if a.Arch == seccomp.ArchX86_64 && len(a.SubArches) > 0 {
			all["programs for 32 bits"] = []string{"the same rules"}
		}
	}
	for _, rule := range p.Syscalls {
		if len(rule.Includes.Caps) > 0 {
			continue
		}
		what := strings.TrimPrefix(string(rule.Action), "SCMP_ACT_") + " " + rule.Errno
		for i, a := range rule.Args {
			what += fmt.Sprintf("%s argument %d %s %#x", map[bool]string{true: " if", false: " and"}[i == 0], a.Index, strings.TrimPrefix(string(a.Op), "SCMP_CMP_"), a.Value)
			if a.Op == seccomp.OpMaskedEqual {
				what += fmt.Sprintf(" %#x", a.ValueTwo)
			}
		}
		if arches := rule.Includes.Arches; len(arches) > 0 {
			what += ", only on " + strings.Join(arches, " ")
		}
		for _, name := range rule.Names {
			if !slices.Contains(all[name], what) {
				all[name] = append(all[name], what)
			}
		}
	}
	return all
}

// An argument decides nothing where another rule lets the call through without one.
func TestNoRuleOverridesAFilteredCall(t *testing.T) {
	for name, list := range decisions(Profile()) {
		if slices.Contains(list, "ALLOW ") && len(list) > 1 {
			t.Errorf("%s is let through, whatever these say: %q", name, list)
		}
		if slices.Contains(filtered, name) && slices.ContainsFunc(list, func(s string) bool { return !strings.Contains(s, " if ") }) {
			t.Errorf("%s has a rule without an argument: %q", name, list)
		}
	}
}

// The names of the two lists are those of the default profile: a call that the
// library renames or drops would be withdrawn from nothing.
func TestEveryWithdrawnCallIsOfTheDefault(t *testing.T) {
	known := decisions(seccomp.DefaultProfile())
	for _, name := range slices.Concat(withdrawn, forbidden, filtered) {
		if len(known[name]) == 0 {
			t.Errorf("the default profile does not know %s", name)
		}
	}
}

func TestJSON(t *testing.T) {
	var got seccomp.Seccomp
	if err := json.Unmarshal(JSON(), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(decisions(Profile()), decisions(&got)); diff != "" {
		t.Error(diff)
	}
}
