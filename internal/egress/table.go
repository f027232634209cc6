package egress

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
	"gopkg.in/yaml.v3"
)

// RoutesFile is the name of the route table in the sidecar's configuration
// directory. It is replaced by rename, never written in place.
const RoutesFile = "routes.yaml"

// tableVersion is the only version of the route table that there is.
const tableVersion = 1

// table is the file's form.
type table struct {
	Version int     `yaml:"version"`
	Routes  []Route `yaml:"routes"`
}

// slotName is what a token slot is called (EGRESS_TOKEN_0, EGRESS_TOKEN_1, …).
var slotName = regexp.MustCompile(`^EGRESS_TOKEN_[0-9]{1,4}$`)

// methodName is an HTTP method in the form in which it is compared.
var methodName = regexp.MustCompile(`^[A-Z][A-Z0-9-]{0,31}$`)

// FormatRoutes renders the route table for the sidecar, after checking it. The
// fields that stay on the host are left out.
func FormatRoutes(routes []Route) ([]byte, error) {
	if err := CheckRoutes(routes); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(table{Version: tableVersion, Routes: routes}); err != nil {
		return nil, fmt.Errorf("route table: %w", err)
	}
	return out.Bytes(), nil
}

// ParseRoutes reads a route table. It refuses unknown keys, a second document, an
// empty file and every route that CheckRoutes refuses: a table that cannot be
// read never means "allow all".
func ParseRoutes(data []byte) ([]Route, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	var t table
	if err := decoder.Decode(&t); err != nil {
		return nil, fmt.Errorf("route table: %w", err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("route table: more than one document")
	}
	if t.Version != tableVersion {
		return nil, fmt.Errorf("route table: version %d is not %d", t.Version, tableVersion)
	}
	if err := CheckRoutes(t.Routes); err != nil {
		return nil, err
	}
	return t.Routes, nil
}

// CheckRoutes reports the first route that the proxy could not enforce as
// written: a host that is not in its normal form or listed twice, a port out of
// range, a path that is not absolute, an unknown scheme, a missing slot.
func CheckRoutes(routes []Route) error {
	seen := make(map[string]bool, len(routes))
	for i, r := range routes {
		if err := r.check(); err != nil {
			return fmt.Errorf("route %d (%s): %w", i, r.Host, err)
		}
		if seen[r.Host] {
			return fmt.Errorf("route %d (%s): the host is listed twice", i, r.Host)
		}
		seen[r.Host] = true
	}
	return nil
}

func (r Route) check() error {
	name := strings.TrimPrefix(r.Host, "*.")
	normal, err := NormalizeHost(name)
	if err != nil {
		return err
	}
	if normal != name {
		return fmt.Errorf("the host must be written %s", normal)
	}
	if name != r.Host && !strings.Contains(name, ".") {
		return errors.New("a wildcard needs a domain with a dot below it")
	}
	if r.Host == IntrospectionHost {
		return errors.New("the host is the proxy's own")
	}
	if r.Port < 0 || r.Port > 65535 {
		return fmt.Errorf("port %d is out of range", r.Port)
	}
	for _, prefix := range r.PathAllowlist {
		if err := checkPath(prefix); err != nil {
			return err
		}
	}
	for _, m := range r.Matches {
		if err := m.check(); err != nil {
			return err
		}
	}
	return r.checkAuth()
}

func (r Route) checkAuth() error {
	switch r.AuthScheme {
	case "":
		if r.TokenEnv != "" || r.AuthHeader != "" {
			return errors.New("auth_scheme is missing")
		}
		return nil
	case SchemeBearer, SchemeToken, SchemeBasic:
		if r.AuthHeader != "" {
			return fmt.Errorf("auth_header goes with the scheme %s only", SchemeHeader)
		}
	case SchemeHeader:
		if !httpguts.ValidHeaderFieldName(r.AuthHeader) || forbiddenAuthHeader(r.AuthHeader) {
			return fmt.Errorf("auth_header %q cannot carry a token", r.AuthHeader)
		}
	default:
		return fmt.Errorf("auth_scheme %q is none of Bearer, token, basic, header", r.AuthScheme)
	}
	if !slotName.MatchString(r.TokenEnv) {
		return fmt.Errorf("token_env %q is no slot EGRESS_TOKEN_n", r.TokenEnv)
	}
	return nil
}

// forbiddenAuthHeader lists headers that frame or route a message; a token there
// would break the request or go to the wrong place.
func forbiddenAuthHeader(name string) bool {
	return slices.Contains([]string{
		"host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade",
		"proxy-authorization", "proxy-connection", "keep-alive", "expect",
	}, strings.ToLower(name))
}

func (m Match) check() error {
	if len(m.Paths) == 0 && len(m.Methods) == 0 && len(m.Headers) == 0 {
		return errors.New("a match needs paths, methods or headers")
	}
	for _, method := range m.Methods {
		if !methodName.MatchString(method) {
			return fmt.Errorf("method %q is not an upper-case method name", method)
		}
	}
	for _, h := range m.Headers {
		if !httpguts.ValidHeaderFieldName(h.Name) || !httpguts.ValidHeaderFieldValue(h.Value) {
			return fmt.Errorf("header match %q is no valid header", h.Name)
		}
	}
	for _, p := range m.Paths {
		if err := p.check(); err != nil {
			return err
		}
	}
	return nil
}

func (p PathMatch) check() error {
	switch p.Type {
	case "prefix", "exact":
		return checkPath(p.Value)
	case "regex":
		_, err := p.Regexp()
		return err
	default:
		return fmt.Errorf("path match type %q is none of prefix, exact, regex", p.Type)
	}
}

// Regexp compiles a match of type regex, anchored at both ends.
func (p PathMatch) Regexp() (*regexp.Regexp, error) {
	re, err := regexp.Compile(`\A(?:` + p.Value + `)\z`)
	if err != nil {
		return nil, fmt.Errorf("path regex %q: %w", p.Value, err)
	}
	return re, nil
}

// checkPath wants a path in the form in which requests are compared.
func checkPath(path string) error {
	if !strings.HasPrefix(path, "/") {
		return fmt.Errorf("path %q does not begin with /", path)
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return fmt.Errorf("path %q has a dot segment", path)
		}
	}
	if strings.ContainsAny(path, "\\\x00?#") || strings.Contains(path, "//") {
		return fmt.Errorf("path %q can never match: requests hold no backslash, NUL, query or empty segment there", path)
	}
	return nil
}
