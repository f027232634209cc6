package visible

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
	"golang.org/x/text/unicode/norm"
)

// known are hosts that agents use often, and so the ones worth imitating. Host
// compares with them besides the hosts it is given.
var known = []string{
	"api.anthropic.com", "api.github.com", "api.openai.com", "bitbucket.org", "chatgpt.com",
	"github.com", "gitlab.com", "googleapis.com", "objects.githubusercontent.com",
	"raw.githubusercontent.com", "storage.googleapis.com",
}

// Host returns how to show host, and what a person should know before trusting
// it. An internationalised name is shown in its A-label form (RFC 5890), which
// cannot be mistaken, with the letters it stands for in a warning. Further
// warnings: scripts mixed in one label, names that differ from a familiar one
// only by similar letters, and familiar names used as a label of a foreign
// domain. familiar are the hosts that the bottle has already.
func Host(host string, familiar []string) (shown string, warnings []string) {
	ascii, err := idna.ToASCII(host)
	if err != nil {
		ascii = host
		warnings = append(warnings, fmt.Sprintf("%s is not a valid host name", String(host)))
	}
	ascii = strings.ToLower(strings.TrimSuffix(ascii, "."))
	shown = String(ascii)

	unicodeForm, err := idna.ToUnicode(ascii)
	if err == nil && unicodeForm != ascii {
		warnings = append(warnings, fmt.Sprintf("%s is an internationalised name that browsers show as %q; compare it letter by letter", shown, String(unicodeForm)))
		for label := range strings.SplitSeq(unicodeForm, ".") {
			if scripts := scriptsOf(label); len(scripts) > 1 {
				warnings = append(warnings, fmt.Sprintf("the label %q mixes the scripts %s", String(label), strings.Join(scripts, " and ")))
			}
		}
	}
	return shown, append(warnings, imitations(ascii, unicodeForm, familiar)...)
}

// imitations compares a host with the familiar ones.
func imitations(ascii, unicodeForm string, familiar []string) []string {
	var warnings []string
	names := slices.Concat(familiar, known)
	slices.Sort(names)
	names = slices.Compact(names)
	domain := registrable(ascii)
	for _, name := range names {
		name = strings.TrimPrefix(name, "*.")
		switch {
		case name == "" || ascii == name || domain == registrable(name):
		case skeleton(unicodeForm) == skeleton(name):
			warnings = append(warnings, fmt.Sprintf("%s looks like %s but is another host", String(ascii), String(name)))
		case skeleton(registrable(unicodeForm)) == skeleton(registrable(name)):
			warnings = append(warnings, fmt.Sprintf("%s looks like %s but is another host", String(domain), String(registrable(name))))
		case strings.HasPrefix(ascii, name+".") || strings.Contains(ascii, "."+name+"."):
			warnings = append(warnings, fmt.Sprintf("%s is not part of %s: it belongs to %s", String(ascii), String(name), String(domain)))
		case oneEdit(registrable(ascii), registrable(name)):
			warnings = append(warnings, fmt.Sprintf("%s differs by one letter from %s", String(domain), String(registrable(name))))
		}
	}
	slices.Sort(warnings) // several names have one domain
	return slices.Compact(warnings)
}

// registrable returns the part of host that somebody registered, by the public
// suffix list; host itself where the list gives none.
func registrable(host string) string {
	domain, err := publicsuffix.EffectiveTLDPlusOne(host)
	if err != nil {
		return host
	}
	return domain
}

// scripts that identifiers use; every other letter counts as "another script".
var scripts = map[string]*unicode.RangeTable{
	"Latin": unicode.Latin, "Cyrillic": unicode.Cyrillic, "Greek": unicode.Greek, "Armenian": unicode.Armenian,
	"Hebrew": unicode.Hebrew, "Arabic": unicode.Arabic, "Han": unicode.Han, "Hiragana": unicode.Hiragana,
	"Katakana": unicode.Katakana, "Hangul": unicode.Hangul, "Thai": unicode.Thai, "Devanagari": unicode.Devanagari,
	"Cherokee": unicode.Cherokee, "Georgian": unicode.Georgian,
}

// scriptsOf names the scripts of s's letters, sorted.
func scriptsOf(s string) []string {
	found := map[string]bool{}
	for _, r := range s {
		if !unicode.IsLetter(r) {
			continue
		}
		name := "another script"
		for script, table := range scripts {
			if unicode.Is(table, r) {
				name = script
				break
			}
		}
		found[name] = true
	}
	names := make([]string, 0, len(found))
	for name := range found {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// lookalikes folds letters that are drawn alike onto one, as the skeleton of
// Unicode TR 39 section 4 does, for the letters that imitate ASCII.
var lookalikes = strings.NewReplacer(
	"rn", "m", "vv", "w", "cl", "d",
	"0", "o", "1", "l", "i", "l", "|", "l", "5", "s", "2", "z", "-", "", "_", "",
	"а", "a", "в", "b", "с", "c", "ԁ", "d", "е", "e", "ё", "e", "ғ", "f", "һ", "h", "і", "l", "ї", "l", "ј", "j", "к", "k", "ӏ", "l",
	"м", "m", "н", "h", "о", "o", "р", "p", "ԛ", "q", "г", "r", "ѕ", "s", "т", "t", "у", "y", "ү", "y", "ѵ", "v", "ѡ", "w", "ԝ", "w", "х", "x",
	"α", "a", "ε", "e", "ι", "l", "κ", "k", "ν", "v", "ο", "o", "ρ", "p", "τ", "t", "υ", "u", "χ", "x", "γ", "y", "η", "n", "ω", "w",
	"օ", "o", "ո", "n", "ս", "u", "հ", "h", "ց", "g", "ɡ", "g", "ı", "l", "ɩ", "l", "ʟ", "l", "ᴏ", "o", "ꜱ", "s",
)

// skeleton maps hosts that look alike to one string; it means nothing else.
func skeleton(host string) string {
	base := strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, norm.NFKD.String(strings.ToLower(host)))
	return lookalikes.Replace(base)
}

// oneEdit reports whether one letter inserted, removed or replaced, or two
// neighbours exchanged, turns a into b.
func oneEdit(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if a == b || len(b)-len(a) > 1 || len(a) < 6 {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	if len(a) < len(b) {
		return a[i:] == b[i+1:]
	}
	return a[i+1:] == b[i+1:] ||
		i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
}
