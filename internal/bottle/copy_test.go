package bottle

import "testing"

func TestLocations(t *testing.T) {
	for arg, want := range map[string]Location{
		"fixer-x7k2p:a/b":   {"fixer-x7k2p", "a/b"},
		"fixer-x7k2p:":      {"fixer-x7k2p", ""},
		"fixer-x7k2p:a:b":   {"fixer-x7k2p", "a:b"},
		"./fixer-x7k2p:a":   {"", "./fixer-x7k2p:a"},
		"/tmp/a:b":          {"", "/tmp/a:b"},
		"Not-A-Slug:a":      {"", "Not-A-Slug:a"},
		"../fixer:a":        {"", "../fixer:a"},
		"-":                 {"", "-"},
		":a":                {"", ":a"},
		"a-file-without-it": {"", "a-file-without-it"},
	} {
		if got := ParseLocation(arg); got != want {
			t.Errorf("%s: %+v", arg, got)
		}
	}
}

func TestCheckCopy(t *testing.T) {
	for _, tt := range []struct {
		from, to string
		ok       bool
	}{
		{"a-x7k2p:f", ".", true},
		{".", "a-x7k2p:f", true},
		{"a-x7k2p:", "-", true},
		{"-", "a-x7k2p:", true},
		{"a-x7k2p:f", "b-x7k2p:f", false},
		{"a", "b", false},
		{"-", "-", false},
		{"a-x7k2p:-", ".", false},
		{".", "a-x7k2p:-", false},
		{"", "a-x7k2p:f", false},
		{"a-x7k2p:f", "", false},
	} {
		if err := CheckCopy(ParseLocation(tt.from), ParseLocation(tt.to)); (err == nil) != tt.ok {
			t.Errorf("%q %q: %v", tt.from, tt.to, err)
		}
	}
}

func TestInsidePath(t *testing.T) {
	for name, want := range map[string]string{
		"": "/home/node", ".": "/home/node", "~": "/home/node", "~/a": "/home/node/a", "a/b": "/home/node/a/b",
		"/etc/x": "/etc/x", "../x": "/home/x", "~a": "/home/node/~a", "a/": "/home/node/a",
	} {
		if got := insidePath("/home/node", name); got != want {
			t.Errorf("%q: %s", name, got)
		}
	}
}
