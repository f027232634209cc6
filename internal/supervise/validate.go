package supervise

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/podbottle/podbottle/internal/egress"
)

// Limits of what one proposal may hold. They are told to the agent in the errors.
const (
	maxJustification = 2000 // bytes
	maxPaths         = 32
	maxPath          = 512 // bytes
	maxMethods       = 8
	maxURL           = 2048      // bytes
	maxContainerfile = 100 << 10 // bytes
)

// Methods are the HTTP methods that a proposal may ask for (RFC 9110 section 9, RFC 5789).
var Methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

// Schemes are the auth schemes that a proposal may ask for.
var Schemes = []string{egress.SchemeBearer, egress.SchemeToken, egress.SchemeBasic, egress.SchemeHeader}

var (
	slugPattern   = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,127}$`)
	envPattern    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)
	headerPattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,63}$`)
	hashPattern   = regexp.MustCompile(`^([0-9a-f]{64})?$`)
	// fromPattern finds an instruction that a Containerfile cannot do without.
	fromPattern = regexp.MustCompile(`(?im)^[ \t]*FROM[ \t]+\S`)
)

// Validate says what is wrong with a proposal, in words for the agent.
func (p Proposal) Validate() error {
	if !idPattern.MatchString(p.ID) {
		return errors.New("id: not a proposal's ID")
	}
	if !slugPattern.MatchString(p.Slug) {
		return errors.New("slug: not a bottle's name")
	}
	if !hashPattern.MatchString(p.Base) {
		return errors.New("base: not a SHA-256 in hex")
	}
	if p.Time.IsZero() || p.Time.Year() < 2000 || p.Time.Year() > 9999 {
		return errors.New("time: missing or out of range")
	}
	if err := validateJustification(p.Justification); err != nil {
		return err
	}
	set := 0
	for _, present := range []bool{p.Egress != nil, p.Pipelock != nil, p.Capability != nil} {
		if present {
			set++
		}
	}
	if set != 1 {
		return errors.New("a proposal asks for exactly one thing")
	}
	switch {
	case p.Tool == ToolEgress && p.Egress != nil:
		return p.Egress.validate()
	case p.Tool == ToolPipelock && p.Pipelock != nil:
		_, err := p.Pipelock.parse()
		return err
	case p.Tool == ToolCapability && p.Capability != nil:
		return p.Capability.validate()
	}
	return errors.New("tool: does not fit what is asked for")
}

// validateJustification wants words: an operator cannot decide without a reason.
func validateJustification(s string) error {
	switch {
	case len(s) > maxJustification:
		return fmt.Errorf("justification: longer than %d bytes", maxJustification)
	case !utf8.ValidString(s):
		return errors.New("justification: not valid UTF-8")
	case strings.IndexFunc(s, unicode.IsLetter) < 0:
		return errors.New("justification: say in words what it is needed for")
	}
	return nil
}

func (r EgressRequest) validate() error {
	if _, _, err := net.SplitHostPort(r.Host); err == nil {
		return errors.New("host: write the name without a port (pipelock-block takes a URL that has one)")
	}
	host, err := normalHost(r.Host)
	if err != nil {
		return fmt.Errorf("host: %w", err)
	}
	if host != r.Host {
		return fmt.Errorf("host: write it as %s", host)
	}
	if len(r.PathAllowlist) > maxPaths {
		return fmt.Errorf("path_allowlist: more than %d entries", maxPaths)
	}
	for i, path := range r.PathAllowlist {
		if err := validatePath(path); err != nil {
			return fmt.Errorf("path_allowlist[%d]: %w", i, err)
		}
		if slices.Contains(r.PathAllowlist[:i], path) {
			return fmt.Errorf("path_allowlist[%d]: given twice", i)
		}
	}
	if len(r.Methods) > maxMethods {
		return fmt.Errorf("methods: more than %d entries", maxMethods)
	}
	for i, method := range r.Methods {
		if !slices.Contains(Methods, method) {
			return fmt.Errorf("methods[%d]: not one of %s", i, strings.Join(Methods, ", "))
		}
		if slices.Contains(r.Methods[:i], method) {
			return fmt.Errorf("methods[%d]: given twice", i)
		}
	}
	if r.Auth != nil {
		return r.Auth.validate()
	}
	return nil
}

func (a AuthRequest) validate() error {
	if !slices.Contains(Schemes, a.Scheme) {
		return fmt.Errorf("auth.scheme: not one of %s", strings.Join(Schemes, ", "))
	}
	if !envPattern.MatchString(a.TokenRef) {
		return errors.New("auth.token_ref: not the name of an environment variable")
	}
	if (a.Scheme == egress.SchemeHeader) != (a.Header != "") {
		return fmt.Errorf("auth.header: needed with the scheme %s, and only there", egress.SchemeHeader)
	}
	if a.Header != "" && !headerPattern.MatchString(a.Header) {
		return errors.New("auth.header: not a header's name")
	}
	return nil
}

// validatePath takes a prefix as egress compares it: decoded and without dot
// segments. What could be read in two ways is refused.
func validatePath(path string) error {
	switch {
	case len(path) > maxPath:
		return fmt.Errorf("longer than %d bytes", maxPath)
	case !strings.HasPrefix(path, "/"):
		return errors.New("does not begin with a slash")
	case strings.ContainsAny(path, `%\?#`):
		return errors.New(`holds one of % \ ? #; give the decoded path without a query`)
	case strings.Contains(path, "//"):
		return errors.New("holds an empty segment")
	case strings.IndexFunc(path, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0:
		return errors.New("holds a space or a character outside ASCII")
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return errors.New("holds a dot segment")
		}
	}
	return nil
}

// target is the host, port and path of a refused URL.
type target struct {
	host string
	port int // 0 for the scheme's own
	path string
}

func (r PipelockRequest) parse() (target, error) {
	if len(r.FailedURL) > maxURL {
		return target{}, fmt.Errorf("failed_url: longer than %d bytes", maxURL)
	}
	if !utf8.ValidString(r.FailedURL) { // its JSON would be another one's
		return target{}, errors.New("failed_url: not valid UTF-8")
	}
	u, err := url.Parse(r.FailedURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Opaque != "" {
		return target{}, errors.New("failed_url: not an absolute http or https URL")
	}
	if u.User != nil {
		return target{}, errors.New("failed_url: holds a user name or password; leave them out")
	}
	host, err := normalHost(u.Hostname())
	if err != nil {
		return target{}, fmt.Errorf("failed_url: %w", err)
	}
	t := target{host: host, path: u.Path}
	if t.path == "" {
		t.path = "/"
	}
	if err := validatePath(t.path); err != nil {
		return target{}, fmt.Errorf("failed_url: path %w", err)
	}
	if port := u.Port(); port != "" && port != "443" && port != "80" {
		n, err := strconv.Atoi(port)
		if err != nil || n < 1 || n > 65535 {
			return target{}, errors.New("failed_url: port out of range")
		}
		t.port = n
	}
	return t, nil
}

func (r CapabilityRequest) validate() error {
	switch {
	case len(r.Containerfile) > maxContainerfile:
		return fmt.Errorf("containerfile: longer than %d bytes", maxContainerfile)
	case !utf8.ValidString(r.Containerfile) || strings.ContainsRune(r.Containerfile, 0):
		return errors.New("containerfile: not text in UTF-8")
	case !fromPattern.MatchString(r.Containerfile):
		return errors.New("containerfile: has no FROM; give the whole file")
	}
	return nil
}

// normalHost returns the host as egress compares it. It refuses names of one
// label: none of them is on the internet.
func normalHost(host string) (string, error) {
	ascii, err := egress.NormalizeHost(host)
	if err != nil {
		return "", err
	}
	if again, err := egress.NormalizeHost(ascii); err != nil || again != ascii {
		return "", errors.New("not a host name") // such as a label of bytes that are not UTF-8
	}
	if !strings.Contains(ascii, ".") || ascii == egress.IntrospectionHost {
		return "", errors.New("not the full name of a host on the internet")
	}
	return ascii, nil
}
