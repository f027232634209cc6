package supervise

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/rogpeppe/go-internal/diff"
	"gopkg.in/yaml.v3"

	"github.com/podbottle/podbottle/internal/egress"
)

// ManifestFile is the file of one bottle: front matter in YAML between two lines
// of dashes, and text.
type ManifestFile struct {
	Path string
	// InheritsFrom names the bottle whose routes this one takes over as long as its own
	// file has no egress; empty for none. An egress section would take those routes
	// away, so it is not added then.
	InheritsFrom string
	// Check reads the written file as podbottle start would.
	Check func() error
}

// ManifestChange is an edit of a bottle's file that has not been made yet.
type ManifestChange struct {
	path          string
	before, after []byte
	check         func() error
	// Diff shows the edit line by line; empty when the file says all of it already.
	Diff string
}

// maxManifest bounds a manifest file, in bytes.
const maxManifest = 1 << 20

// Preview works out the edit that makes an approval permanent. tokenRef is the
// host's variable for a new credential. Only the lines of the route are touched.
func (m ManifestFile) Preview(ask Ask, tokenRef string) (ManifestChange, error) {
	path, err := filepath.EvalSymlinks(m.Path)
	if err != nil {
		return ManifestChange{}, fmt.Errorf("manifest: %w", err)
	}
	before, err := readRegular(path, maxManifest)
	if err != nil {
		return ManifestChange{}, fmt.Errorf("manifest: %w", err)
	}
	after, err := editManifest(before, ask, tokenRef, m.InheritsFrom)
	if err != nil {
		return ManifestChange{}, fmt.Errorf("manifest %s: %w", m.Path, err)
	}
	return ManifestChange{path: path, before: before, after: after, check: m.Check, Diff: string(diff.Diff(m.Path, before, m.Path+" afterwards", after))}, nil
}

// write makes the edit if the file is still the one that was shown, and takes it
// back if the file is not right afterwards.
func (c ManifestChange) write() error {
	if err := c.replace(c.before, c.after); err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return errors.Join(fmt.Errorf("manifest %s would not be right afterwards: %w", c.path, err), c.undo())
	}
	return nil
}

// undo takes the edit back.
func (c ManifestChange) undo() error {
	return c.replace(c.after, c.before)
}

func (c ManifestChange) replace(from, to []byte) error {
	current, err := readRegular(c.path, maxManifest)
	if err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	if !bytes.Equal(current, from) {
		return fmt.Errorf("manifest %s has changed since it was shown; look at it again", c.path)
	}
	info, err := os.Stat(c.path)
	if err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	if err := renameio.WriteFile(c.path, to, info.Mode().Perm(), renameio.WithStaticPermissions(info.Mode().Perm()), renameio.WithTempDir(filepath.Dir(c.path))); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	return nil
}

// editManifest adds what is asked for to the routes of a bottle's file.
func editManifest(data []byte, ask Ask, tokenRef, inheritsFrom string) ([]byte, error) {
	lines := strings.SplitAfter(string(data), "\n")
	isFence := func(line string) bool { return strings.TrimRight(line, " \t\r\n") == "---" }
	last := -1
	if isFence(strings.TrimPrefix(lines[0], "\ufeff")) {
		last = slices.IndexFunc(lines[1:], isFence)
	}
	if last < 0 {
		return nil, errors.New("it has no front matter")
	}
	front := lines[1 : last+1] // line n of the YAML is front[n-1]
	edited, err := editFront(front, ask, tokenRef, inheritsFrom)
	if err != nil {
		return nil, err
	}
	if err := yaml.Unmarshal([]byte(edited), new(yaml.Node)); err != nil {
		return nil, fmt.Errorf("the route cannot be put between its lines; add it by hand: %w", err)
	}
	return []byte(lines[0] + edited + strings.Join(lines[last+1:], "")), nil
}

func editFront(front []string, ask Ask, tokenRef, inheritsFrom string) (string, error) {
	text := strings.Join(front, "")
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		return "", err
	}
	if len(document.Content) == 0 || document.Content[0].Kind != yaml.MappingNode {
		return "", errors.New("its front matter holds no keys")
	}
	section := value(document.Content[0], "egress")
	if section == nil && inheritsFrom != "" {
		return "", fmt.Errorf("the bottle takes its routes from %s, and every bottle that extends that would get the new one; add it by hand where it belongs", inheritsFrom)
	}
	if section == nil {
		return addSection(front, ask, tokenRef)
	}
	routes := value(section, "routes")
	if routes == nil || routes.Kind != yaml.SequenceNode || len(routes.Content) == 0 || !blockStyle(section) {
		return "", errors.New("its egress section is not written as a list of routes, one below the other; add the route by hand")
	}
	indent := strings.Repeat(" ", routes.Column-1)
	for _, item := range routes.Content {
		if hostOf(item) != ask.Host {
			continue
		}
		end := lastLine(item)
		if err := widenNode(item, ask); err != nil {
			return "", err
		}
		dropOutside(item, strings.Join(front[item.Line-1:end], ""))
		text, err := renderItem(item, indent)
		if err != nil {
			return "", err
		}
		return strings.Join(front[:item.Line-1], "") + text + strings.Join(front[end:], ""), nil
	}
	for _, item := range routes.Content {
		if wild := value(item, "host"); wild != nil && serves(wild.Value, ask.Host) {
			return "", fmt.Errorf("its route %s serves %s now, with all that it has; a route of the host's own would hide it, so add it by hand", wild.Value, ask.Host)
		}
	}
	item, err := routeNode(ask, tokenRef)
	if err != nil {
		return "", err
	}
	added, err := renderItem(item, indent)
	if err != nil {
		return "", err
	}
	end := lastLine(routes)
	return ensureNewline(strings.Join(front[:end], "")) + added + strings.Join(front[end:], ""), nil
}

// addSection gives a file its first route.
func addSection(front []string, ask Ask, tokenRef string) (string, error) {
	item, err := routeNode(ask, tokenRef)
	if err != nil {
		return "", err
	}
	text, err := renderItem(item, "    ")
	if err != nil {
		return "", err
	}
	return ensureNewline(strings.Join(front, "")) + "egress:\n  routes:\n" + text, nil
}

func ensureNewline(s string) string {
	if s == "" || strings.HasSuffix(s, "\n") {
		return s
	}
	return s + "\n"
}

// dropOutside takes away the comments that yaml.v3 has attached to a node but that
// stand above or below the lines of the node, which stay as they are.
func dropOutside(n *yaml.Node, text string) {
	for _, comment := range []*string{&n.HeadComment, &n.FootComment} {
		if first, _, _ := strings.Cut(*comment, "\n"); !strings.Contains(text, first) {
			*comment = ""
		}
	}
	for _, child := range n.Content {
		dropOutside(child, text)
	}
}

// value is the node of a mapping's key; nil when there is none.
func value(mapping *yaml.Node, key string) *yaml.Node {
	if mapping.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return nil
}

// blockStyle reports whether the lists and mappings down to the routes are
// written one entry a line, and no text runs over several lines: only then do
// line numbers say where a route ends.
func blockStyle(section *yaml.Node) bool {
	routes := value(section, "routes")
	if section.Style&yaml.FlowStyle != 0 || routes.Style&yaml.FlowStyle != 0 {
		return false
	}
	for _, item := range routes.Content {
		if item.Kind != yaml.MappingNode || item.Style&yaml.FlowStyle != 0 || multiline(item) {
			return false
		}
	}
	return true
}

func multiline(n *yaml.Node) bool {
	if n.Kind == yaml.AliasNode || n.Anchor != "" || n.Kind == yaml.ScalarNode && (n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 || strings.Contains(n.Value, "\n")) {
		return true
	}
	return slices.ContainsFunc(n.Content, multiline)
}

// lastLine is the number of the last line on which something of n begins. Where a
// flow list closes below it, the result is no YAML and the edit is refused.
func lastLine(n *yaml.Node) int {
	last := n.Line
	for _, child := range n.Content {
		last = max(last, lastLine(child))
	}
	return last
}

// serves reports whether a route's host, such as "*.example.org:8443", is a wildcard for host.
func serves(pattern, host string) bool {
	domain, wild := strings.CutPrefix(pattern, "*.")
	if !wild {
		return false
	}
	domain, _, err := egress.ParseHostPort(domain, 0)
	return err == nil && strings.HasSuffix(host, "."+domain)
}

// hostOf is the normalised host of a route in a manifest.
func hostOf(item *yaml.Node) string {
	n := value(item, "host")
	if n == nil {
		return ""
	}
	host, _, err := egress.ParseHostPort(n.Value, 0)
	if err != nil {
		return ""
	}
	return host
}

// manifestRoute are the keys of a route that an approval touches.
type manifestRoute struct {
	Host          string         `yaml:"host"`
	PathAllowlist []string       `yaml:"path_allowlist,omitempty"`
	Matches       []egress.Match `yaml:"matches,omitempty"`
	Auth          *AuthRequest   `yaml:"auth,omitempty"`
}

// routeNode is a new route.
func routeNode(ask Ask, tokenRef string) (*yaml.Node, error) {
	r := manifestRoute{Host: ask.Host}
	if ask.Port != 0 {
		r.Host = fmt.Sprintf("%s:%d", ask.Host, ask.Port)
	}
	if m := ask.match(); len(m.Paths) > 0 || len(m.Methods) > 0 {
		r.Matches = []egress.Match{m}
	}
	if ask.Auth != nil {
		if !envPattern.MatchString(tokenRef) {
			return nil, errors.New("a credential in the manifest needs the name of the host's variable that holds it")
		}
		auth := *ask.Auth
		auth.TokenRef = tokenRef
		r.Auth = &auth
	}
	var n yaml.Node
	return &n, n.Encode(r)
}

// widenNode adds what is asked for to a route of the file.
func widenNode(item *yaml.Node, ask Ask) error {
	var r manifestRoute
	if err := item.Decode(&r); err != nil {
		return err
	}
	_, port, err := egress.ParseHostPort(r.Host, 0)
	if err != nil {
		return err
	}
	for i := range r.Matches {
		for j := range r.Matches[i].Paths {
			if r.Matches[i].Paths[j].Type == "" {
				r.Matches[i].Paths[j].Type = "prefix"
			}
		}
	}
	wider, err := widen(egress.Route{Host: ask.Host, Port: port, PathAllowlist: r.PathAllowlist, Matches: r.Matches}, ask, time.Time{})
	if err != nil {
		return err
	}
	if wider.Port != port {
		value(item, "host").SetString(fmt.Sprintf("%s:%d", ask.Host, wider.Port))
	}
	if old := value(item, "matches"); old != nil && len(r.PathAllowlist) == 0 && len(wider.Matches) == len(r.Matches)+1 && old.Style&yaml.FlowStyle == 0 {
		var added yaml.Node
		if err := added.Encode(wider.Matches[len(wider.Matches)-1]); err != nil {
			return err
		}
		old.Content = append(old.Content, &added) // keeps the comments beside the others
		return nil
	}
	remove(item, "path_allowlist")
	remove(item, "matches")
	if len(wider.Matches) > 0 {
		var key, matches yaml.Node
		key.SetString("matches")
		if err := matches.Encode(wider.Matches); err != nil {
			return err
		}
		item.Content = append(item.Content, &key, &matches)
	}
	return nil
}

func remove(mapping *yaml.Node, key string) {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			mapping.Content = slices.Delete(mapping.Content, i, i+2)
			return
		}
	}
}

// renderItem writes one entry of the list with its dash, indented.
func renderItem(item *yaml.Node, indent string) (string, error) {
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(&yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{item}}); err != nil {
		return "", err
	}
	var b strings.Builder
	for line := range strings.Lines(out.String()) {
		b.WriteString(indent + line)
	}
	return b.String(), nil
}
