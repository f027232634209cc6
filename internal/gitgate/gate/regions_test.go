package gate

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"math/rand/v2"
	"net/url"
	"regexp/syntax"
	"slices"
	"strings"
	"testing"

	"github.com/zricethezav/gitleaks/v8/detect"
)

// samples is how many texts are made for each rule: gitleaks alone takes long.
const samples = 1

// TestRegionsMissNothing compares the detector with gitleaks alone, which looks at
// everything: for every rule on texts that its expression matches, plain, encoded,
// and among others.
func TestRegionsMissNothing(t *testing.T) {
	d, err := sharedDetector()
	if err != nil {
		t.Fatal(err)
	}
	alone := wholeGitleaks(t, d)
	random := rand.New(rand.NewPCG(1, 2)) // #nosec G404 -- the same in every run
	found := 0
	for id, rule := range alone.Config.Rules {
		path := "dir/file.txt"
		if rule.Path != nil {
			path = map[string]string{
				"freemius-secret-key": "a.php", "nuget-config-password": "nuget.config", "pkcs12-file": "a.p12",
				"hashicorp-tf-password": "a.tf", "kubernetes-secret-yaml": "a.yaml",
			}[id]
			if !rule.Path.MatchString(path) {
				t.Fatalf("a path for the rule %s is missing", id)
			}
		}
		if rule.Regex == nil {
			continue
		}
		tree, err := syntax.Parse(rule.Regex.String(), syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		any := 0
		for range samples {
			text := generate(random, tree)
			for _, text := range []string{
				"first\n" + text + "\nlast",
				filler(random, 100) + text + filler(random, 100) + rule.Keywords[0] + "\n" + filler(random, 300),
				"value: " + base64.StdEncoding.EncodeToString([]byte("its value is "+text+" so it is.")) + "\n",
				"value: " + hex.EncodeToString([]byte(text+" 1")) + "\nhttps://example.org/?q=" + url.QueryEscape(text) + "&r=1\n",
			} {
				any += missing(t, d, alone, text, path)
			}
		}
		found += any
		if any == 0 {
			t.Logf("gitleaks alone finds nothing for the rule %s", id)
		}
	}
	if found < 200 {
		t.Errorf("gitleaks alone finds %d secrets in all, too few to say anything", found)
	}
}

// wholeGitleaks is gitleaks with the detector's rules and no regions.
func wholeGitleaks(t testing.TB, d *detector) *detect.Detector {
	t.Helper()
	whole, err := detect.NewDetectorDefaultConfig()
	if err != nil {
		t.Fatal(err)
	}
	whole.Config.Allowlists = d.near.deep.Config.Allowlists
	whole.MaxDecodeDepth, whole.IgnoreGitleaksAllow = decodeDepth, true
	return whole
}

// missing fails the test for what gitleaks alone finds in a text and the detector
// does not, and returns how much the former finds.
func missing(t *testing.T, d *detector, alone *detect.Detector, text, path string) int {
	t.Helper()
	want := alone.Detect(detect.Fragment{Raw: text, FilePath: path}) //nolint:staticcheck // before gitleaks 9, Detect takes no other type
	got, err := d.find(context.Background(), text, path)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range want {
		if f.RuleID == guessingRule && d.pathExcused(path) {
			continue
		}
		same := func(m match) bool { return m.rule == f.RuleID && m.secret == f.Secret && m.line == f.StartLine }
		if !slices.ContainsFunc(got, same) {
			t.Errorf("%s: missed %q, line %d, in %q\ngot %+v", f.RuleID, f.Secret, f.StartLine, text, got)
		}
	}
	return len(want)
}

// filler is text of n bytes and more with telling words in it.
func filler(random *rand.Rand, n int) string {
	words := []string{"key", "token", "the", "secret", "=", ":", "api_key", "auth", "x1y2z3", "\"", "\n", "password", "jira", "Q~", "sk-", "%20", "\\u0041", "0123456789abcdef"}
	var b strings.Builder
	for b.Len() < n {
		b.WriteString(words[random.IntN(len(words))])
		if random.IntN(3) > 0 {
			b.WriteByte(' ')
		}
	}
	b.WriteByte('\n')
	return b.String()
}

// generate makes a text that an expression matches, apart from the bounds of words.
func generate(random *rand.Rand, re *syntax.Regexp) string {
	var b strings.Builder
	repeat := func(least, most int) {
		for range least + random.IntN(most-least+1) {
			b.WriteString(generate(random, re.Sub[0]))
		}
	}
	switch re.Op {
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			if re.Flags&syntax.FoldCase != 0 && random.IntN(2) == 0 {
				r = []rune(strings.ToLower(string(r)))[0]
			}
			b.WriteRune(r)
		}
	case syntax.OpCharClass:
		i := 2 * random.IntN(len(re.Rune)/2)
		b.WriteRune(re.Rune[i] + rune(random.IntN(min(int(re.Rune[i+1]-re.Rune[i]), 90)+1)))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteByte(byte(' ' + random.IntN(90)))
	case syntax.OpAlternate:
		return generate(random, re.Sub[random.IntN(len(re.Sub))])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			b.WriteString(generate(random, sub))
		}
	case syntax.OpCapture:
		return generate(random, re.Sub[0])
	case syntax.OpStar:
		repeat(0, 5)
	case syntax.OpPlus:
		repeat(1, 60)
	case syntax.OpQuest:
		repeat(0, 1)
	case syntax.OpRepeat:
		most := re.Max
		if most < 0 {
			most = re.Min + 20
		}
		repeat(re.Min, most)
	}
	return b.String()
}

// The rules that need the whole text cost the most: there must not be many.
func TestMostRulesHaveProbes(t *testing.T) {
	d, err := sharedDetector()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(d.wide.plain.Config.Rules); n > 12 || d.regions.always {
		t.Errorf("%d rules need the whole text; always: %v", n, d.regions.always)
	}
	if n := len(d.near.plain.Config.Rules); n < 200 {
		t.Errorf("only %d rules have probes", n)
	}
}
