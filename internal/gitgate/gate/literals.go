package gate

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/zricethezav/gitleaks/v8/config"
)

// probe tells in little time whether a rule can match near one of its triggers. It
// may say yes where the rule does not match, but not the other way round.
type probe struct {
	// triggers are texts in lower case, one of which every match of the rule holds.
	triggers []string
	// back is how far before the trigger a match may begin, in bytes.
	back int
	// from is how far before the trigger re is to look, and reach how far behind the
	// trigger's begin; below 0 means to the end of the text.
	from, reach int
	// re is nil for a rule that needs the whole text.
	re *regexp.Regexp
	// path is what the file's has to match; nil for every file.
	path *regexp.Regexp
}

const (
	// maxBack bounds what a rule may have before its trigger.
	maxBack = 1 << 10
	// triggerLength is how much of a text that begins a match is looked for.
	triggerLength = 8
	// maxTriggers bounds the alternatives that are tried one by one.
	maxTriggers = 256
)

// newProbes returns the probes of a rule, one for each alternative of its
// expression, or none if it needs the whole text.
func newProbes(rule config.Rule) []*probe {
	if rule.Regex == nil {
		return nil
	}
	tree, err := syntax.Parse(rule.Regex.String(), syntax.Perl)
	if err != nil {
		return nil
	}
	alternatives := []*syntax.Regexp{tree}
	if tree.Op == syntax.OpAlternate {
		alternatives = tree.Sub
	}
	var probes []*probe
	for _, alternative := range alternatives {
		p, ok := newProbe(alternative, rule.Keywords)
		if !ok {
			return nil
		}
		p.path = rule.Path
		probes = append(probes, p)
	}
	return probes
}

// wholeText is the probe of a rule that needs the whole text.
func wholeText(rule config.Rule) *probe {
	keywords := make([]string, 0, len(rule.Keywords))
	for _, keyword := range rule.Keywords {
		keywords = append(keywords, strings.ToLower(keyword))
	}
	return &probe{triggers: triggers(keywords), path: rule.Path}
}

// newProbe takes an expression apart. ok is false where it has no text that every
// match must hold, or nothing bounds how far before that text a match begins, or the
// text is not one of the rule's keywords.
func newProbe(tree *syntax.Regexp, keywords []string) (p *probe, ok bool) {
	parts := flatten(tree)
	p = &probe{}
	skipped := true // all parts so far may match nothing
	for i, part := range parts {
		texts := sequence(parts[i:]).texts
		if haveKeyword(texts, keywords) {
			p.triggers = triggers(texts)
			return p, p.build(tree, parts[i:], skipped)
		}
		length := maxLength(part)
		if p.back += length; length < 0 || p.back > maxBack {
			return p, false
		}
		skipped = skipped && minLength(part) == 0
	}
	return p, false
}

// build sets what re looks for and where. What stands before the trigger and may
// match nothing is left out: then a match is one that begins with the trigger.
func (p *probe) build(tree *syntax.Regexp, rest []*syntax.Regexp, anchored bool) bool {
	tail := 0
	for _, part := range rest {
		length := maxLength(part)
		if length < 0 {
			tail = -1
			break
		}
		tail += length
	}
	p.reach = tail
	if !anchored {
		p.from = p.back
		p.re = regexp.MustCompile(tree.String())
		return tail >= 0
	}
	p.re = regexp.MustCompile(`\A(?:` + (&syntax.Regexp{Op: syntax.OpConcat, Sub: rest}).String() + `)`)
	return true
}

// flatten lists the parts of a concatenation, without the groups that only capture.
func flatten(re *syntax.Regexp) []*syntax.Regexp {
	switch re.Op {
	case syntax.OpConcat:
		var parts []*syntax.Regexp
		for _, sub := range re.Sub {
			parts = append(parts, flatten(sub)...)
		}
		return parts
	case syntax.OpCapture:
		return flatten(re.Sub[0])
	}
	return []*syntax.Regexp{re}
}

// beginnings are the texts one of which every match begins with, in lower case.
// They are whole when each is all of a match.
type beginnings struct {
	texts []string
	whole bool
}

var anything = beginnings{texts: []string{""}}

// sequence combines the beginnings of parts that follow each other.
func sequence(parts []*syntax.Regexp) beginnings {
	all := beginnings{texts: []string{""}, whole: true}
	for _, part := range parts {
		next := beginningsOf(part)
		if len(all.texts)*len(next.texts) > maxTriggers {
			return beginnings{texts: all.texts}
		}
		combined := make([]string, 0, len(all.texts)*len(next.texts))
		for _, a := range all.texts {
			for _, b := range next.texts {
				combined = append(combined, a+b)
			}
		}
		all = beginnings{combined, next.whole}
		if !next.whole {
			break
		}
	}
	return all
}

func beginningsOf(re *syntax.Regexp) beginnings {
	switch re.Op {
	case syntax.OpLiteral:
		return beginnings{[]string{lower(re.Rune)}, true}
	case syntax.OpCharClass:
		return beginningsOfClass(re.Rune)
	case syntax.OpConcat:
		return sequence(re.Sub)
	case syntax.OpCapture:
		return beginningsOf(re.Sub[0])
	case syntax.OpAlternate:
		all := beginnings{whole: true}
		for _, sub := range re.Sub {
			one := beginningsOf(sub)
			all.texts = append(all.texts, one.texts...)
			all.whole = all.whole && one.whole
		}
		return all
	case syntax.OpQuest:
		one := beginningsOf(re.Sub[0])
		return beginnings{append(one.texts, ""), one.whole}
	case syntax.OpPlus:
		return beginnings{texts: beginningsOf(re.Sub[0]).texts}
	case syntax.OpRepeat:
		if re.Min > 0 {
			return beginnings{texts: beginningsOf(re.Sub[0]).texts}
		}
	case syntax.OpEmptyMatch, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return beginnings{[]string{""}, true}
	}
	return anything
}

// beginningsOfClass lists the members of a small class.
func beginningsOfClass(ranges []rune) beginnings {
	var members []rune
	for i := 0; i+1 < len(ranges); i += 2 {
		if int(ranges[i+1]-ranges[i])+len(members) > 2*len("0123456789") {
			return anything
		}
		for r := ranges[i]; r <= ranges[i+1]; r++ {
			members = append(members, r)
		}
	}
	var texts []string
	for _, r := range members {
		if text := lower([]rune{r}); !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	if len(texts) == 0 {
		return anything // the class that matches nothing
	}
	return beginnings{texts, true}
}

// lower folds case as expressions do: the sign for kelvin is a k, the long s an s.
func lower(runes []rune) string {
	var b strings.Builder
	for _, r := range runes {
		folded := unicode.ToLower(r)
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			if other < utf8.RuneSelf {
				folded = unicode.ToLower(other)
			}
		}
		b.WriteRune(folded)
	}
	return b.String()
}

// haveKeyword reports whether each text holds one of a rule's keywords: then it says
// no less than gitleaks' own look for them.
func haveKeyword(texts, keywords []string) bool {
	for _, text := range texts {
		if len(text) < 2 || strings.IndexFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0 {
			return false
		}
		if !slices.ContainsFunc(keywords, func(k string) bool { return strings.Contains(text, strings.ToLower(k)) }) {
			return false
		}
	}
	return len(texts) > 0
}

// triggers are the beginnings of texts, in every way to write a k and an s that
// expressions take for the same.
func triggers(texts []string) []string {
	var all []string
	for _, text := range texts {
		ways := []string{""}
		for _, r := range text[:min(len(text), triggerLength)] {
			ways = spell(ways, r)
		}
		all = append(all, ways...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func spell(ways []string, r rune) []string {
	signs := []string{string(r)}
	switch r {
	case 'k':
		signs = append(signs, "\u212a")
	case 's':
		signs = append(signs, "\u017f")
	}
	var all []string
	for _, way := range ways {
		for _, sign := range signs {
			all = append(all, way+sign)
		}
	}
	return all
}

// maxLength is how many bytes a match may have; below 0 for no bound.
func maxLength(re *syntax.Regexp) int {
	switch re.Op {
	case syntax.OpLiteral:
		return utf8.UTFMax * len(re.Rune)
	case syntax.OpCharClass:
		return widest(re.Rune)
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return utf8.UTFMax
	case syntax.OpStar, syntax.OpPlus:
		return -1
	case syntax.OpRepeat:
		one := maxLength(re.Sub[0])
		if one < 0 || re.Max < 0 {
			return -1
		}
		return one * re.Max
	case syntax.OpQuest, syntax.OpCapture:
		return maxLength(re.Sub[0])
	case syntax.OpConcat, syntax.OpAlternate:
		total := 0
		for _, sub := range re.Sub {
			one := maxLength(sub)
			if one < 0 {
				return -1
			}
			if re.Op == syntax.OpConcat {
				total += one
			} else {
				total = max(total, one)
			}
		}
		return total
	}
	return 0
}

// widest is the length in bytes of the longest member of a class.
func widest(ranges []rune) int {
	if len(ranges) == 0 {
		return 0
	}
	return max(utf8.RuneLen(ranges[len(ranges)-1]), 1)
}

// minLength is 0 where a match may be empty, and otherwise above.
func minLength(re *syntax.Regexp) int {
	switch re.Op {
	case syntax.OpLiteral, syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1
	case syntax.OpPlus, syntax.OpCapture:
		return minLength(re.Sub[0])
	case syntax.OpRepeat:
		return min(re.Min, minLength(re.Sub[0]))
	case syntax.OpConcat:
		total := 0
		for _, sub := range re.Sub {
			total += minLength(sub)
		}
		return total
	case syntax.OpAlternate:
		least := 1
		for _, sub := range re.Sub {
			least = min(least, minLength(sub))
		}
		return least
	}
	return 0
}
