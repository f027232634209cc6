package proxy

import (
	"net/url"
	"path"
	"strings"
	"testing"
)

func TestParsePath(t *testing.T) {
	tests := []struct {
		in, decoded, escaped string
		ambiguous, malformed bool
	}{
		{"/", "/", "/", false, false},
		{"/v1/messages", "/v1/messages", "/v1/messages", false, false},
		{"/a/./b/../c", "/a/c", "/a/c", false, false},
		{"/a/..", "/", "/", false, false},
		{"/a/b/.", "/a/b/", "/a/b/", false, false},
		{"/../../etc", "/etc", "/etc", false, false},
		{"/a/%2e%2E/b", "/b", "/b", false, false},
		{"/a/.%2e/b", "/b", "/b", false, false},
		{"/a%20b/%C3%BC", "/a b/ü", "/a%20b/%C3%BC", false, false},
		{"/a;x=1/b", "/a;x=1/b", "/a;x=1/b", false, false},
		{"/...", "/...", "/...", false, false},
		{"/a%2fb", "/a/b", "/a%2fb", true, false},
		{"/a%2Fb", "/a/b", "/a%2Fb", true, false},
		{`/a%5Cb`, `/a\b`, `/a%5Cb`, true, false},
		{"/a%252e%252e/b", "/a%2e%2e/b", "/a%252e%252e/b", true, false},
		{"/a%2541", "/a%41", "/a%2541", true, false},
		{"//a", "//a", "//a", true, false},
		{"/a//../b", "/a//../b", "/a//../b", true, false},
		{"/v1/..;/a", "/v1/..;/a", "/v1/..;/a", true, false},
		{"/v1/%2e%2e%3ba/a", "/v1/..;a/a", "/v1/%2e%2e%3ba/a", true, false},
		{"/100%25", "/100%", "/100%25", false, false},
		{"", "", "", false, true},
		{"*", "", "*", false, true},
		{"a/b", "", "a/b", false, true},
		{"/a%00b", "", "/a%00b", false, true},
		{"/a%0d%0aHost: x", "", "/a%0d%0aHost: x", false, true},
		{"/a%7f", "", "/a%7f", false, true},
		{"/a%zz", "", "/a%zz", false, true},
	}
	for _, tt := range tests {
		p := parsePath(tt.in)
		if p.decoded != tt.decoded || p.escaped != tt.escaped || (p.ambiguous != "") != tt.ambiguous || (p.malformed != "") != tt.malformed {
			t.Errorf("parsePath(%q) = %+v", tt.in, p)
		}
	}
}

func TestWorstCaseFindsGitWhateverTheSpelling(t *testing.T) {
	for _, p := range []string{
		"/r.git/git-receive-pack", "/r.git/git%2Dreceive-pack", "/r.git/git%252Dreceive-pack", "/r.git//git-receive-pack",
		"/r.git/git-receive-pack/", "/r.git/./git-receive-pack", "/r.git/x/../git-receive-pack", `/r.git\git-receive-pack`,
		"/r.git%2fgit-receive-pack", "/r.git/GIT-Receive-Pack", "/r.git%5cgit-receive-pack",
	} {
		if push, _ := gitService(p, ""); !push {
			t.Errorf("%s is no push", p)
		}
	}
	for _, tt := range []struct {
		path, query string
		push, fetch bool
	}{
		{"/r/info/refs", "service=git-receive-pack", true, false},
		{"/r/info/refs", "service=git%2dreceive-pack", true, false},
		{"/r/info/refs", "a=b;Service=git-receive-pack", true, false},
		{"/r/info/refs", "service=git-upload-pack&service=git-receive-pack", true, false},
		{"/r/info/refs", "service=git-upload-pack", false, true},
		{"/r/info/refs", "", false, true},
		{"/r/git-upload-pack", "", false, true},
		{"/r.git/info/lfs/objects/batch", "", true, false},
		{"/r.git/info/lfs", "", true, false},
		{"/docs/git-receive-pack.html", "", false, false},
		{"/v1/info", "service=git-receive-pack", false, false},
	} {
		if push, fetch := gitService(tt.path, tt.query); push != tt.push || fetch != tt.fetch {
			t.Errorf("gitService(%q, %q) = %v, %v", tt.path, tt.query, push, fetch)
		}
	}
}

// FuzzParsePath wants a path that is neither ambiguous nor malformed to mean the
// same to every reader: to one who cleans it, to one who decodes it again, and to
// the server it is sent to.
func FuzzParsePath(f *testing.F) {
	for _, seed := range []string{"/a/../b", "/%2e%2e/", "/a%2fb", "/%252e", "//", "/a/%2e", `/\..`, "/%c3%bc"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, escaped string) {
		p := parsePath(escaped)
		if p.malformed != "" || p.ambiguous != "" {
			return
		}
		decoded, err := url.PathUnescape(p.escaped)
		if err != nil || decoded != p.decoded {
			t.Fatalf("%q is sent as %q, which is %q and not the %q that was matched", escaped, p.escaped, decoded, p.decoded)
		}
		if clean := path.Clean(p.decoded); clean != p.decoded && clean+"/" != p.decoded {
			t.Errorf("%q is matched as %q, which cleans to %q", escaped, p.decoded, clean)
		}
		if again, err := url.PathUnescape(p.decoded); err == nil && again != p.decoded {
			t.Errorf("%q decodes to %q and then to %q", escaped, p.decoded, again)
		}
		if strings.ContainsAny(p.decoded, "\x00\\\r\n") {
			t.Errorf("%q is matched as %q", escaped, p.decoded)
		}
		if second := parsePath(p.escaped); second != p {
			t.Errorf("%q is read as %+v and then as %+v", escaped, p, second)
		}
	})
}
