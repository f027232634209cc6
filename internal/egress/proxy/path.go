package proxy

import (
	"net/url"
	"path"
	"strings"
)

// requestPath is the path of a request in the forms that a decision needs.
type requestPath struct {
	// decoded is free of percent-encoding and of dot segments.
	decoded string
	// escaped is what is sent upstream: as the client wrote it, but without dot segments.
	escaped string
	// ambiguous says why servers may read the path differently; empty when they cannot.
	ambiguous string
	// malformed says why no server may see it.
	malformed string
}

// parsePath reads the escaped path of a request (RFC 3986, section 3.3).
func parsePath(escaped string) requestPath {
	p := requestPath{escaped: escaped}
	if !strings.HasPrefix(escaped, "/") {
		p.malformed = "it does not begin with /"
		return p
	}
	decoded, err := url.PathUnescape(escaped)
	if err != nil {
		p.malformed = "its percent-encoding is broken"
		return p
	}
	if strings.ContainsFunc(decoded, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		p.malformed = "it holds a control character"
		return p
	}
	lower := strings.ToLower(escaped)
	switch again, err := url.PathUnescape(decoded); {
	case strings.Contains(lower, "%2f"):
		p.ambiguous = "it holds an encoded slash"
	case strings.Contains(decoded, `\`):
		p.ambiguous = "it holds a backslash"
	case err == nil && again != decoded:
		p.ambiguous = "it is encoded twice"
	case strings.Contains(decoded, "//"):
		p.ambiguous = "it holds an empty segment"
	case strings.Contains(decoded, "/.;"), strings.Contains(decoded, "/..;"):
		p.ambiguous = "it holds a dot segment with parameters"
	}
	p.decoded = decoded
	if p.ambiguous == "" {
		p.escaped = removeDotSegments(escaped)
		p.decoded, _ = url.PathUnescape(p.escaped) // its parts were decoded above
	}
	return p
}

// removeDotSegments does what RFC 3986, section 5.2.4 says, on segments that
// stay encoded as they are; "%2e" is a dot there.
func removeDotSegments(escaped string) string {
	segments := strings.Split(escaped[1:], "/")
	out := segments[:0]
	for i, segment := range segments {
		last := i == len(segments)-1
		switch strings.ReplaceAll(strings.ToLower(segment), "%2e", ".") {
		case ".":
			if last {
				out = append(out, "")
			}
		case "..":
			out = out[:max(0, len(out)-1)]
			if last {
				out = append(out, "")
			}
		default:
			out = append(out, segment)
		}
	}
	return "/" + strings.Join(out, "/")
}

// worstCase is the path as the most lenient server would read it: decoded until
// nothing changes, backslashes as slashes, no empty or dot segments, lower-case.
// What must never be let through is looked for there.
func worstCase(escaped string) string {
	s := escaped
	for range 8 {
		next, err := url.PathUnescape(s)
		if err != nil || next == s {
			break
		}
		s = next
	}
	return strings.ToLower(path.Clean("/" + strings.ReplaceAll(s, `\`, "/")))
}
