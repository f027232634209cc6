package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Limits of a manifest file, so that a hostile one costs nothing.
const (
	maxFile        = 1 << 20  // bytes
	maxFrontMatter = 64 << 10 // bytes
)

// document is one Markdown file: front matter as YAML nodes, and the text below it.
type document struct {
	file string
	root *yaml.Node // the mapping; nil when the front matter is empty
	body string     // without surrounding white space
}

// readDocument reads an opened manifest file, which must be a regular one.
func readDocument(file string, f *os.File) (*document, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	if !info.Mode().IsRegular() {
		return nil, &Error{File: file, Msg: "is not a regular file"}
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return parseDocument(file, data)
}

// parseDocument splits data into front matter and body and parses the former.
func parseDocument(file string, data []byte) (*document, error) {
	if len(data) > maxFile {
		return nil, &Error{File: file, Msg: fmt.Sprintf("is larger than %d KiB", maxFile>>10)}
	}
	if !utf8.Valid(data) {
		return nil, &Error{File: file, Msg: "is not UTF-8 text"}
	}
	front, body, err := splitFrontMatter(file, data)
	if err != nil {
		return nil, err
	}
	d := &document{file: file, body: strings.TrimSpace(string(body))}
	dec := yaml.NewDecoder(bytes.NewReader(front))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return d, nil
		}
		return nil, d.syntaxError(err)
	}
	var second yaml.Node
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, &Error{File: file, Line: second.Line, Msg: "the front matter holds more than one YAML document"}
	}
	root := doc.Content[0]
	if err := d.plain(root); err != nil {
		return nil, err
	}
	if isNull(root) {
		return d, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, d.errorf(root, "the front matter must be keys with values, such as \"bottle: web\"")
	}
	d.root = root
	return d, nil
}

// splitFrontMatter returns the YAML between the first line, which must be ---,
// and the next line that is ---. The YAML starts with an empty line in place of
// the first, so that its line numbers are the file's.
func splitFrontMatter(file string, data []byte) (front, body []byte, err error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	first, rest, _ := bytes.Cut(data, []byte("\n"))
	if !isFence(first) {
		return nil, nil, &Error{File: file, Line: 1, Msg: "the file must begin with front matter: a line ---, the keys, a line ---"}
	}
	for at := 0; at < len(rest); {
		line, _, more := bytes.Cut(rest[at:], []byte("\n"))
		end := at + len(line)
		if more {
			end++
		}
		if isFence(line) {
			if at > maxFrontMatter {
				break
			}
			return append([]byte("\n"), rest[:at]...), rest[end:], nil
		}
		at = end
	}
	if len(rest) > maxFrontMatter {
		return nil, nil, &Error{File: file, Msg: fmt.Sprintf("the front matter is larger than %d KiB or has no closing line ---", maxFrontMatter>>10)}
	}
	return nil, nil, &Error{File: file, Line: 1, Msg: "the front matter has no closing line ---"}
}

func isFence(line []byte) bool {
	return string(bytes.TrimRight(line, " \t\r")) == "---"
}

// syntaxError gives a message of the YAML parser, "yaml: line 3: …", its file and line.
func (d *document) syntaxError(err error) error {
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	var line int
	if _, scanErr := fmt.Sscanf(msg, "line %d:", &line); scanErr == nil {
		_, msg, _ = strings.Cut(msg, ": ")
		line += parserErrorOffset(msg)
	}
	return &Error{File: d.file, Line: line, Msg: "not valid YAML: " + msg}
}

// parserErrorOffset is what the line of a message is short of: yaml.v3 counts
// lines from 0 in the errors of its parser and from 1 in those of its scanner
// (yaml.v3, parser.fail).
func parserErrorOffset(msg string) int {
	for _, prefix := range []string{"node content", "key", "'-' indicator", "',' or", "<document start>"} {
		if strings.HasPrefix(msg, "did not find expected "+prefix) {
			return 1
		}
	}
	return 0
}

// plain refuses what a manifest has no use for and what makes YAML dangerous:
// anchors, aliases and tags.
func (d *document) plain(n *yaml.Node) error {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		return d.errorf(n, "anchors and aliases are not allowed; write the value out")
	case n.Style&yaml.TaggedStyle != 0:
		return d.errorf(n, "the tag %s is not allowed; remove it", n.Tag)
	}
	for _, child := range n.Content {
		if err := d.plain(child); err != nil {
			return err
		}
	}
	return nil
}

func (d *document) errorf(n *yaml.Node, format string, args ...any) error {
	e := &Error{File: d.file, Msg: fmt.Sprintf(format, args...)}
	if n != nil {
		e.Line = n.Line
	}
	return e
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// at finds the node below the front matter that path leads to: keys (string)
// and positions in lists (int). It returns the deepest node that is there.
func (d *document) at(path ...any) *yaml.Node {
	n := d.root
	for _, step := range path {
		next := child(n, step)
		if next == nil {
			return n
		}
		n = next
	}
	return n
}

func child(n *yaml.Node, step any) *yaml.Node {
	if n == nil {
		return nil
	}
	switch step := step.(type) {
	case string:
		if n.Kind != yaml.MappingNode {
			return nil
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == step {
				return n.Content[i+1]
			}
		}
	case int:
		if n.Kind == yaml.SequenceNode && step < len(n.Content) {
			return n.Content[step]
		}
	}
	return nil
}

// declares reports whether the front matter has the key, be it with an empty value.
func (d *document) declares(key string) bool { return child(d.root, key) != nil }
