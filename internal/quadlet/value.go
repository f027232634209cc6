package quadlet

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// expands writes text so that systemd's specifiers (%, systemd.unit(5)) and
// variables ($, systemd.service(5)) are not expanded in it: all that Quadlet is
// given ends on the command line of an ExecStart=.
var expands = strings.NewReplacer("%", "%%", "$", "$$")

// plain is the value of a key that Quadlet takes as it stands. It cannot be
// quoted: Quadlet strips quotes and blanks from its ends, and a backslash at the
// end continues the line.
func plain(text string) (string, error) {
	if err := printable(text, false); err != nil {
		return "", err
	}
	if strings.TrimFunc(text, unicode.IsSpace) != text || strings.Trim(text, `"`) != text || strings.HasSuffix(text, `\`) {
		return "", fmt.Errorf("%q begins or ends with a blank, a quote or a backslash, which Quadlet would drop", text)
	}
	return expands.Replace(text), nil
}

// word is one word of a key that Quadlet splits into words, quoted where need be.
func word(text string) (string, error) {
	switch {
	case text == "":
		// Quadlet stops at an empty word and drops what follows.
		return "", fmt.Errorf("an empty word cannot be written in a unit")
	case text == ";":
		// Quadlet writes it without quotes, and systemd starts the next command at it.
		return "", fmt.Errorf("the word %q cannot be written in a unit; put it into a script", text)
	}
	if err := printable(text, true); err != nil {
		return "", err
	}
	text = expands.Replace(text)
	if !strings.ContainsFunc(text, needsQuotes) {
		return text, nil
	}
	var quoted strings.Builder
	quoted.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			quoted.WriteByte('\\')
			quoted.WriteRune(r)
		case r == '\n':
			quoted.WriteString(`\n`)
		case r == '\t':
			quoted.WriteString(`\t`)
		case r < ' ' || r == '\x7f':
			fmt.Fprintf(&quoted, `\x%02x`, r)
		default:
			quoted.WriteRune(r)
		}
	}
	quoted.WriteByte('"')
	return quoted.String(), nil
}

func needsQuotes(r rune) bool {
	return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune(`"'\`, r)
}

// printable refuses what no escape carries through both Quadlet and systemd:
// text that is not UTF-8, NUL, and the control characters from U+0080 on. Others
// pass only where they can be escaped.
func printable(text string, escaped bool) error {
	if !utf8.ValidString(text) {
		return fmt.Errorf("%q is not UTF-8", text)
	}
	bad := strings.IndexFunc(text, func(r rune) bool {
		return r == 0 || r == utf8.RuneError || unicode.IsControl(r) && (!escaped || r > '\x7f')
	})
	if bad >= 0 {
		return fmt.Errorf("%q holds a character that cannot be written in a unit", text)
	}
	return nil
}

// imageName is the form of an image's name or ID. Anything else could be taken
// for an option of podman run.
var imageName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/@-]*$`)

// image checks a name that stands alone on podman's command line.
func image(name string) error {
	if !imageName.MatchString(name) {
		return fmt.Errorf("image %q is not a name that podman run takes", name)
	}
	if ext := filepath.Ext(name); ext == ".image" || ext == ".build" {
		return fmt.Errorf("image %q: Quadlet takes a name that ends in %s for a unit; give the image a tag", name, ext)
	}
	return nil
}

// variableName is what an environment variable of a unit may be called. A name
// with an asterisk would copy variables of the host.
var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// places are the host's directories that systemd has a specifier for. Units
// with specifiers can be read, compared and copied.
type places struct{ home, runtime string }

// path writes a host path for a plain key, in which a colon would end it.
func (p places) path(path string) (string, error) {
	if !filepath.IsAbs(path) || strings.Contains(path, ":") {
		return "", fmt.Errorf("path %q is not absolute or holds a colon, so that it cannot be mounted", path)
	}
	for _, place := range []struct{ dir, specifier string }{{p.runtime, "%t"}, {p.home, "%h"}} {
		if rest, ok := strings.CutPrefix(path, place.dir+"/"); ok && place.dir != "" {
			text, err := plain(rest)
			return place.specifier + "/" + text, err
		}
	}
	if strings.ContainsFunc(path, unicode.IsSpace) {
		return "", fmt.Errorf("path %q holds a blank outside of the home directory, which systemd would take for two paths", path)
	}
	return plain(path)
}

// argument writes a host path for a command line of systemd's own.
func (p places) argument(path string) (string, error) {
	text, err := p.path(path)
	if strings.ContainsAny(text, `"\'`) {
		return "", fmt.Errorf("path %q holds a quote or a backslash", path)
	}
	if strings.ContainsFunc(text, unicode.IsSpace) {
		text = `"` + text + `"`
	}
	return text, err
}

// stream writes a host path for StandardInput= and its like, where variables
// are not expanded.
func (p places) stream(path string) (string, error) {
	text, err := p.path(path)
	return strings.ReplaceAll(text, "$$", "$"), err
}
