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
type detector struct {
	gitleaks *detect.Detector
	excused  []*config.Allowlist
}

// newDetector compiles the rules, which takes a tenth of a second.
func newDetector() (*detector, error) {
	logging.Logger = zerolog.Nop() // it would print secrets at its lower levels
	gitleaks, err := detect.NewDetectorDefaultConfig()
	if err != nil {
		return nil, fmt.Errorf("gitleaks' rules: %w", err)
	}
	gitleaks.MaxDecodeDepth = decodeDepth
	gitleaks.IgnoreGitleaksAllow = true
	d := &detector{gitleaks: gitleaks, excused: gitleaks.Config.Allowlists}
	gitleaks.Config.Allowlists = nil
	for _, a := range d.excused {
		kept := &config.Allowlist{
			Description: a.Description, MatchCondition: a.MatchCondition,
			RegexTarget: a.RegexTarget, Regexes: a.Regexes, StopWords: a.StopWords,
		}
		if len(kept.Regexes) == 0 && len(kept.StopWords) == 0 {
			continue
		}
		if err := kept.Validate(); err != nil {
			return nil, fmt.Errorf("gitleaks' rules: %w", err)
		}
		gitleaks.Config.Allowlists = append(gitleaks.Config.Allowlists, kept)
	}
	return d, nil
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
	found := d.gitleaks.DetectContext(ctx, detect.Fragment{Raw: text, FilePath: path}) //nolint:staticcheck // its successor comes with gitleaks 9
	// It stops in the middle without a word when the context ends.
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for _, f := range found {
		if f.RuleID == guessingRule && d.pathExcused(path) {
			continue
		}
		matches = append(matches, match{
			rule: f.RuleID, description: f.Description, secret: f.Secret, line: f.StartLine, lines: f.Line, decoded: isDecoded(f),
		})
	}
	return matches, nil
}

func (d *detector) pathExcused(path string) bool {
	return path != "" && slices.ContainsFunc(d.excused, func(a *config.Allowlist) bool { return a.PathAllowed(path) })
}

// isDecoded reports whether a finding stands in its text in an encoded form.
func isDecoded(f report.Finding) bool {
	return slices.ContainsFunc(f.Tags, func(tag string) bool { return strings.HasPrefix(tag, "decoded:") })
}

// sharedDetector compiles the rules once, at the first push.
func sharedDetector() func() (*detector, error) { return sync.OnceValues(newDetector) }
