package gate

import (
	"slices"
	"strings"
	"unicode/utf8"

	ahocorasick "github.com/BobuSumisu/aho-corasick"
	"github.com/zricethezav/gitleaks/v8/config"
)

// regions tells which parts of a text gitleaks has to look at. Its expressions
// take microseconds for a byte; most text holds nothing that any of them could
// match, and that is decided here at the speed of a search for fixed texts. What is
// decided is only where gitleaks looks, never that something is harmless.
type regions struct {
	search *ahocorasick.Trie
	probes [][]*probe // of the trigger with that number
	// always is set when a rule without keywords needs the whole text.
	always bool
}

// region is a part of a text, text[start:end].
type region struct {
	start, end int
	decode     bool // something in it is encoded
}

// maxLine bounds how far the begin and the end of a line are looked for.
const maxLine = 4 << 10

// newRegions prepares for the rules. wide are those that need the whole text, where
// it holds one of their keywords, and those that look at a path alone.
func newRegions(rules map[string]config.Rule) (r *regions, wide []string) {
	numbers := map[string]int{}
	r = &regions{}
	builder := ahocorasick.NewTrieBuilder()
	add := func(trigger string, p *probe) {
		n, known := numbers[trigger]
		if !known {
			n = len(r.probes)
			numbers[trigger] = n
			builder.AddString(trigger)
			r.probes = append(r.probes, nil)
		}
		r.probes[n] = append(r.probes[n], p)
	}
	for id, rule := range rules {
		probes := newProbes(rule)
		if len(probes) == 0 {
			wide = append(wide, id)
			r.always = r.always || rule.Regex != nil && len(rule.Keywords) == 0
			probes = append(probes, wholeText(rule))
		}
		for _, p := range probes {
			for _, trigger := range p.triggers {
				add(trigger, p)
			}
		}
	}
	r.search = builder.Build()
	return r, wide
}

// look returns the regions in which a rule may match, merged and in order, and
// whether one of the rules that need the whole text may. path is the text's; empty
// for no file.
func (r *regions) look(text, path string) (found []region, wide bool) {
	wide = r.always
	r.search.Walk(lowerASCII(text), func(end, n, pattern int64) bool {
		at := int(end-n) + 1
		for _, p := range r.probes[pattern] {
			if p.path != nil && !p.path.MatchString(path) {
				continue
			}
			if p.re == nil {
				wide = true
			} else if length, ok := p.matches(text, at); ok {
				found = append(found, linesAround(text, at-p.back, at+length))
			}
		}
		return true
	})
	return merge(found), wide
}

// matches looks for the rule around the trigger at a place of the text and returns
// where a match ends, counted from there.
func (p *probe) matches(text string, at int) (length int, ok bool) {
	// One more character on both sides: what bounds a word looks at it.
	begin, end := at, len(text)
	if p.from > 0 {
		begin = max(at-p.from-utf8.UTFMax, 0)
	}
	if p.reach >= 0 {
		end = min(end, at+p.reach+utf8.UTFMax)
	}
	match := p.re.FindStringIndex(text[begin:end])
	if match == nil {
		return 0, false
	}
	return max(begin+match[1]-at, 0), true
}

// linesAround is the region of the whole lines that hold text[start:end].
func linesAround(text string, start, end int) region {
	start, end = max(start, 0), min(end, len(text))
	before := text[max(start-maxLine, 0):start]
	after := text[end:min(end+maxLine, len(text))]
	if newline := strings.IndexByte(after, '\n'); newline >= 0 {
		after = after[:newline+1]
	}
	before = before[strings.LastIndexByte(before, '\n')+1:]
	return region{start: start - len(before), end: end + len(after)}
}

// merge sorts regions and joins those that touch.
func merge(all []region) []region {
	slices.SortFunc(all, func(a, b region) int { return a.start - b.start })
	merged := all[:0]
	for _, r := range all {
		if last := len(merged) - 1; last >= 0 && r.start <= merged[last].end {
			merged[last].end = max(merged[last].end, r.end)
			merged[last].decode = merged[last].decode || r.decode
			continue
		}
		merged = append(merged, r)
	}
	return merged
}

// lowerASCII leaves every byte in its place, which strings.ToLower does not.
func lowerASCII(text string) []byte {
	b := []byte(text)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
	return b
}
