package gate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/rs/zerolog"
	"github.com/zricethezav/gitleaks/v8/config"
	"github.com/zricethezav/gitleaks/v8/detect"
	"github.com/zricethezav/gitleaks/v8/logging"
	"github.com/zricethezav/gitleaks/v8/report"
)

const (
	// decodeDepth is how often encoded text (base64, hexadecimal, percent) is decoded
	// in itself: gitleaks' own default on its command line.
	decodeDepth = 5
	// guessingRule finds values by their entropy next to a telling name. It is the one
	// rule that the lists of hashes in lock files and the like set off.
	guessingRule = "generic-api-key"
)

// detector finds secrets in text with gitleaks' rules. It differs from gitleaks'
// command in what the pusher can say: no comment and no file in the repository
// switches it off, and the paths which the default configuration leaves out (lock
// files, images, vendored code) are excused from the guessing rule only, since
// anybody can name a file go.sum.
//
// What can be left out is decided before, by regions: gitleaks alone would take a
// second for every 300 kB.
type detector struct {
	regions *regions
	// near has the rules that look at a region, wide those that look at a whole text.
	near, wide engine
	// paths are the rules that look at nothing but a file's path.
	paths   []config.Rule
	excused []*config.Allowlist
}

// sharedDetector compiles the rules at the first push. There is one detector in a
// process: gitleaks reads its rules through a variable of its own.
var sharedDetector = sync.OnceValues(newDetector)

// newDetector compiles the rules, which takes a tenth of a second.
func newDetector() (*detector, error) {
	logging.Logger = zerolog.Nop() // it would print secrets at its lower levels
	whole, err := detect.NewDetectorDefaultConfig()
	if err != nil {
		return nil, fmt.Errorf("gitleaks' rules: %w", err)
	}
	d := &detector{excused: whole.Config.Allowlists}
	rules := whole.Config
	if rules.Allowlists, err = withoutPaths(d.excused); err != nil {
		return nil, fmt.Errorf("gitleaks' rules: %w", err)
	}
	var wide []string
	d.regions, wide = newRegions(rules.Rules)
	d.near = newEngine(rules, func(id string) bool { return !slices.Contains(wide, id) })
	d.wide = newEngine(rules, func(id string) bool { return slices.Contains(wide, id) })
	for id, rule := range rules.Rules {
		if len(rule.RequiredRules) > 0 {
			return nil, fmt.Errorf("gitleaks' rule %s needs others beside it, which the gate does not know", id)
		}
		if rule.Regex == nil && rule.Path != nil {
			d.paths = append(d.paths, rule)
		}
	}
	return d, nil
}

// engine is gitleaks with some of the rules.
type engine struct {
	// deep decodes what it finds encoded, which takes a microsecond for every byte.
	plain, deep *detect.Detector
}

func newEngine(rules config.Config, include func(id string) bool) engine {
	some := map[string]config.Rule{}
	keywords := map[string]struct{}{}
	for id, rule := range rules.Rules {
		if !include(id) {
			continue
		}
		some[id] = rule
		for _, keyword := range rule.Keywords {
			keywords[strings.ToLower(keyword)] = struct{}{}
		}
	}
	rules.Rules, rules.Keywords = some, keywords
	e := engine{plain: detect.NewDetector(rules), deep: detect.NewDetector(rules)}
	e.plain.IgnoreGitleaksAllow, e.deep.IgnoreGitleaksAllow = true, true
	e.deep.MaxDecodeDepth = decodeDepth
	return e
}

// scan looks at a text whose first line has that number.
func (e engine) scan(ctx context.Context, text, path string, line int, decode bool) []report.Finding {
	gitleaks := e.plain
	if decode {
		gitleaks = e.deep
	}
	fragment := detect.Fragment{Raw: text, FilePath: path, StartLine: line} //nolint:staticcheck // before gitleaks 9, DetectContext takes no other type
	return gitleaks.DetectContext(ctx, fragment)
}

// withoutPaths are the lists of what is no secret, without the paths in them.
func withoutPaths(lists []*config.Allowlist) ([]*config.Allowlist, error) {
	var all []*config.Allowlist
	for _, a := range lists {
		kept := &config.Allowlist{
			Description: a.Description, MatchCondition: a.MatchCondition,
			RegexTarget: a.RegexTarget, Regexes: a.Regexes, StopWords: a.StopWords,
		}
		if len(kept.Regexes) == 0 && len(kept.StopWords) == 0 {
			continue
		}
		if err := kept.Validate(); err != nil {
			return nil, err
		}
		all = append(all, kept)
	}
	return all, nil
}

// match is what the detector found in a text.
type match struct {
	rule, description string
	secret            string // decoded, where it was encoded
	line              int    // from 0, in the text
	lines             string // the text of the lines that hold it
	decoded           bool
}

// find scans one text. path is the file's, empty for what is no file; rules on
// paths and extensions look at it. An error means that the text was not scanned.
func (d *detector) find(ctx context.Context, text, path string) (matches []match, err error) {
	defer func() {
		if r := recover(); r != nil {
			matches, err = nil, fmt.Errorf("gitleaks panicked: %v", r)
		}
	}()
	matches = d.matches(ctx, text, path, decodeDepth)
	// It stops in the middle without a word when the context ends.
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return matches, nil
}

// matches scans a text, and as often as depth says what its blocks of base64 stand for.
func (d *detector) matches(ctx context.Context, text, path string, depth int) (all []match) {
	for _, f := range d.detect(ctx, text, path) {
		if f.RuleID == guessingRule && d.pathExcused(path) {
			continue
		}
		all = append(all, match{
			rule: f.RuleID, description: f.Description, secret: f.Secret, line: f.StartLine, lines: f.Line, decoded: isDecoded(f),
		})
	}
	if depth == 0 {
		return all
	}
	for _, b := range blocks(text) {
		line := strings.Count(text[:b.start], "\n")
		for _, m := range d.matches(ctx, b.decoded, path, depth-1) {
			if slices.ContainsFunc(all, func(o match) bool { return o.rule == m.rule && o.secret == m.secret }) {
				continue
			}
			m.line, m.lines, m.decoded = line, text[b.start:b.end], true
			all = append(all, m)
		}
	}
	return all
}

// detect lets gitleaks look where regions does not rule a finding out.
func (d *detector) detect(ctx context.Context, text, path string) []report.Finding {
	near, wide := d.regions.look(text, path)
	wide = wide || slices.ContainsFunc(d.paths, func(r config.Rule) bool { return r.Path.MatchString(path) })
	inCode := encoded(text)
	decode := wide && len(inCode) > 0
	for _, r := range inCode {
		found, whole := d.regions.decodes(text[r.start:r.end], path)
		if found {
			near = append(near, region{r.start, r.end, true})
		}
		wide, decode = wide || whole, decode || whole
	}
	var all []report.Finding
	if wide {
		all = d.wide.scan(ctx, text, path, 0, decode)
	}
	at, line := 0, 0
	for _, r := range merge(near) {
		line += strings.Count(text[at:r.start], "\n")
		at = r.start
		all = append(all, d.near.scan(ctx, text[r.start:r.end], path, line, r.decode)...)
	}
	return all
}

func (d *detector) pathExcused(path string) bool {
	return path != "" && slices.ContainsFunc(d.excused, func(a *config.Allowlist) bool { return a.PathAllowed(path) })
}

// isDecoded reports whether a finding stands in its text in an encoded form.
func isDecoded(f report.Finding) bool {
	return slices.ContainsFunc(f.Tags, func(tag string) bool { return strings.HasPrefix(tag, "decoded:") })
}
