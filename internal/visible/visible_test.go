package visible

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestString(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{"plain", "GET /v1/models, please", "GET /v1/models, please"},
		{"other scripts stay", "пожалуйста, 请 ありがとう ½ é", "пожалуйста, 请 ありがとう ½ é"},
		{"colour", "\x1b[31mred\x1b[0m", "<ESC>[31mred<ESC>[0m"},
		{"hyperlink", "\x1b]8;;https://a\x07b", "<ESC>]8;;https://a<U+0007>b"},
		{"C1 CSI", "\u009b2J", "<U+009B>2J"},
		{"raw C1 byte", "\x9b2J", "<9B>2J"},
		{"line breaks", "a\nb\r\nc\td", "a<LF>b<CR><LF>c<TAB>d"},
		{"line separator", "a\u2028b", "a<U+2028>b"},
		{"bidi override", "user\u202Egnp.exe", "user<U+202E>gnp.exe"},
		{"bidi isolate", "\u2066x\u2069", "<U+2066>x<U+2069>"},
		{"zero width", "git\u200bhub\u200d\ufeff", "git<U+200B>hub<U+200D><U+FEFF>"},
		{"soft hyphen", "git\u00adhub", "git<U+00AD>hub"},
		{"spaces", "a\u00a0b\u2003c\u3000d", "a<U+00A0>b<U+2003>c<U+3000>d"},
		{"blank letters", "\u3164\u115f\uffa0\u2800", "<U+3164><U+115F><U+FFA0><U+2800>"},
		{"tags", "a\U000E0041", "a<U+E0041>"},
		{"private use", "\ue000", "<U+E000>"},
		{"variation selector", "✔\ufe0f", "✔<U+FE0F>"},
		{"marks", "Z\u0300\u0301\u0302\u0303", "Z\u0300\u0301<U+0302><U+0303>"},
		{"delete", "a\x7f", "a<U+007F>"},
		{"NUL", "a\x00", "a<U+0000>"},
	} {
		if got := String(test.in); got != test.want {
			t.Errorf("%s: String(%q) = %q, want %q", test.name, test.in, got, test.want)
		}
		if got := Clean(test.in); got != (test.in == test.want) {
			t.Errorf("%s: Clean(%q) = %v", test.name, test.in, got)
		}
	}
}

func TestLines(t *testing.T) {
	got := strings.Join(Lines("FROM x\r\n\tRUN a\rb\n"), "|")
	if want := "FROM x|    RUN a<CR>b"; got != want {
		t.Errorf("Lines = %q, want %q", got, want)
	}
}

func TestHost(t *testing.T) {
	for _, test := range []struct {
		host     string
		familiar []string
		shown    string
		warning  string // part of one warning; empty for none at all
	}{
		{host: "api.github.com", shown: "api.github.com"},
		{host: "example.org", familiar: []string{"api.example.org"}, shown: "example.org"},
		{host: "gist.github.com", shown: "gist.github.com"},
		{host: "gіthub.com", shown: "xn--gthub-n2e.com", warning: "mixes the scripts Cyrillic and Latin"},
		{host: "gіthub.com", shown: "xn--gthub-n2e.com", warning: "looks like github.com"},
		{host: "аррӏе.com", familiar: []string{"apple.com"}, shown: "xn--80ak6aa92e.com", warning: "looks like apple.com"},
		{host: "bücher.example", shown: "xn--bcher-kva.example", warning: "internationalised name"},
		{host: "g1thub.com", shown: "g1thub.com", warning: "looks like github.com"},
		{host: "api.openal.com", shown: "api.openal.com", warning: "looks like api.openai.com"},
		{host: "api.openaj.com", shown: "api.openaj.com", warning: "differs by one letter from openai.com"},
		{host: "npmjs.org.evil.example", shown: "npmjs.org.evil.example", familiar: []string{"npmjs.org"}, warning: "it belongs to evil.example"},
		{host: "api.github.com.evil.org", shown: "api.github.com.evil.org", warning: "it belongs to evil.org"},
		{host: "gihtub.com", shown: "gihtub.com", warning: "differs by one letter from github.com"},
		{host: "GitHub.com.", shown: "github.com"},
	} {
		shown, warnings := Host(test.host, test.familiar)
		all := strings.Join(warnings, "; ")
		if shown != test.shown {
			t.Errorf("Host(%q) shows %q, want %q", test.host, shown, test.shown)
		}
		if test.warning == "" && all != "" || !strings.Contains(all, test.warning) {
			t.Errorf("Host(%q) warns %q, want %q", test.host, all, test.warning)
		}
		if once := slices.Compact(slices.Sorted(slices.Values(warnings))); len(once) != len(warnings) {
			t.Errorf("Host(%q) warns twice: %q", test.host, warnings)
		}
		if !Clean(all) {
			t.Errorf("Host(%q): warnings %q are not clean", test.host, all)
		}
	}
}

func FuzzString(f *testing.F) {
	f.Add("plain")
	f.Add("\x1b]52;c;aGk=\x07\u202e\xff")
	f.Fuzz(func(t *testing.T, s string) {
		out := String(s)
		if !utf8.ValidString(out) {
			t.Fatalf("String(%q) is not UTF-8: %q", s, out)
		}
		for _, r := range out {
			if r < ' ' || r >= 0x7f && r < 0xa0 || unicode.Is(unicode.Bidi_Control, r) || !unicode.IsGraphic(r) {
				t.Fatalf("String(%q) lets %U through", s, r)
			}
		}
		if again := String(out); again != out {
			t.Fatalf("String is not stable: %q then %q", out, again)
		}
	})
}

func TestJSON(t *testing.T) {
	for text, want := range map[string]string{
		`{"host":"bücher.example"}`:                        `{"host":"bücher.example"}`,
		"{\r\n  \"a\" :\t1 }":                              `{"a":1}`,
		"{\"a\":\"\u009b2J\u202egnp\u2066.\x7f\"}":         `{"a":"\u009b2J\u202egnp\u2066.\u007f"}`,
		"{\"a\":\"\U000E0041\u200b\"}":                     `{"a":"\udb40\udc41\u200b"}`,
		"{\"a\":\"e" + strings.Repeat("\u0301", 3) + "\"}": "{\"a\":\"e\u0301\u0301" + `\u0301"}`,
	} {
		got, err := JSON([]byte(text))
		if err != nil || got != want {
			t.Errorf("%q: got %q, %v; want %q", text, got, err, want)
		}
	}
	if got, err := JSON([]byte("{\"a\":\"\x1b[2J\"}")); err == nil {
		t.Errorf("a raw control in a string: %q", got)
	}
}

func FuzzJSON(f *testing.F) {
	f.Add("\u009b2J\u202e")
	f.Add("a\xff\u200b\U000E0041e\u0301\u0301\u0301")
	f.Fuzz(func(t *testing.T, s string) {
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		shown, err := JSON(text)
		if err != nil || !Clean(shown) {
			t.Fatalf("%q: %q, %v", s, shown, err)
		}
		var before, after string
		if err := errors.Join(json.Unmarshal(text, &before), json.Unmarshal([]byte(shown), &after)); err != nil || before != after {
			t.Errorf("%q is %q, %v", before, after, err)
		}
	})
}

func TestCut(t *testing.T) {
	for s, want := range map[string]string{"": "", "abc": "abc", "abcd": "ab…", "äöü": "äöü", "äöüß": "äö…", "\xff\xff\xff\xff": "\xff\xff…"} {
		if got := Cut(s, 3); got != want {
			t.Errorf("%q is cut to %q, want %q", s, got, want)
		}
	}
}

func TestMarshal(t *testing.T) {
	value := map[string]string{"a": "x\u009b2J\u202e", "b": "ä"}
	got, err := Marshal(value)
	if want := `{"a":"x\u009b2J\u202e","b":"ä"}`; err != nil || got != want {
		t.Errorf("%s %v, want %s", got, err, want)
	}
	if _, err := Marshal(func() {}); err == nil {
		t.Error("a function has JSON")
	}
}

func TestCommand(t *testing.T) {
	for want, argv := range map[string][]string{
		"bash -c 'exec cat'":                   {"bash", "-c", "exec cat"},
		`sh -c 'echo '\''a'\'' >x' ''`:         {"sh", "-c", "echo 'a' >x", ""},
		"make CFLAGS=-O2 ./x@1.2:3":            {"make", "CFLAGS=-O2", "./x@1.2:3"},
		"sh -c 'a<LF><ESC>[2J<U+202E>b'":       {"sh", "-c", "a\n\x1b[2J\u202eb"},
		"'$(id)' '`id`' 'a;b' '*' '~' '#' '!'": {"$(id)", "`id`", "a;b", "*", "~", "#", "!"},
	} {
		if got := Command(argv); got != want {
			t.Errorf("%q is shown as %s, want %s", argv, got, want)
		}
	}
}
