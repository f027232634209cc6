// Package containerfile looks at a Containerfile that an agent wrote, before it is
// built on the host, outside of the agent's sandbox.
package containerfile

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/openshift/imagebuilder/dockerfile/parser"
)

// Check refuses what would have the builder itself act for the agent, with the
// user's network, credentials or files: RUN is in a container, but ADD fetches from
// where the builder is, its cache mounts are shared with the user's other builds,
// and some names of images are paths. It parses as Podman's builder does.
func Check(text []byte) error {
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("the Containerfile cannot be read: %w", err)
	}
	c := checker{images: map[string]bool{}}
	for _, node := range parsed.AST.Children {
		if err := c.instruction(node); err != nil {
			return fmt.Errorf("line %d of the Containerfile: %w", node.StartLine, err)
		}
	}
	return nil
}

// checker checks one instruction after the other.
type checker struct {
	// images are the ARGs before the first FROM that are images' plain names: the ones
	// that a FROM may use.
	images map[string]bool
	staged bool // there was a FROM
}

func (c *checker) instruction(node *parser.Node) error {
	switch strings.ToLower(node.Value) {
	case "add":
		return errors.New("ADD is not taken: it may fetch with the host's network and the user's credentials; use COPY, or RUN with curl or git")
	case "onbuild":
		return errors.New("ONBUILD is not taken: it acts in builds that nobody approved")
	case "from":
		c.staged = true
		return c.base(words(node))
	case "arg":
		if !c.staged {
			c.arguments(words(node))
		}
	case "run":
		return checkFlags(node.Flags, checkRunFlag)
	case "copy":
		return checkFlags(node.Flags, checkCopyFlag)
	}
	return nil
}

func words(node *parser.Node) []string {
	var list []string
	for n := node.Next; n != nil; n = n.Next {
		list = append(list, n.Value)
	}
	return list
}

// variable is a reference to one ARG and nothing else.
var variable = regexp.MustCompile(`^\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})$`)

func (c *checker) base(list []string) error {
	if len(list) == 0 {
		return errors.New("FROM names no image")
	}
	if match := variable.FindStringSubmatch(list[0]); match != nil && c.images[match[1]+match[2]] {
		return nil // its value was checked
	}
	return checkImage(list[0])
}

// quoted is a text in one pair of quotes.
var quoted = regexp.MustCompile(`^(?:"([^"]*)"|'([^']*)')$`)

// arguments notes which arguments are images. The last value counts.
func (c *checker) arguments(list []string) {
	for _, word := range list {
		name, value, _ := strings.Cut(word, "=")
		if match := quoted.FindStringSubmatch(value); match != nil {
			value = match[1] + match[2]
		}
		if strings.ContainsAny(name, special) {
			clear(c.images) // it may be any of them
		}
		c.images[name] = checkImage(value) == nil
	}
}

// paths are the transports of containers-transports(5) that read from the host.
var paths = regexp.MustCompile(`^(?i:containers-storage|dir|docker-archive|docker-daemon|oci|oci-archive|ostree|sif|tarball):`)

// special are the characters by which the builder makes one text of another: it
// replaces variables and takes quotes away, also in flags and in their names.
const special = "$`\\\"'"

// checkImage refuses what is no image's plain name.
func checkImage(name string) error {
	switch {
	case strings.ContainsAny(name, special):
		return fmt.Errorf("%q is put together from variables or quotes; write the image's name, or ${NAME} alone with an ARG NAME=IMAGE above the first FROM", name)
	case paths.MatchString(name):
		return fmt.Errorf("%q is read from a place of the host; name an image", name)
	}
	return nil
}

func checkFlags(flags []string, check func(name, value string) error) error {
	for _, flag := range flags {
		name, value, _ := strings.Cut(strings.TrimPrefix(flag, "--"), "=")
		if strings.ContainsAny(name, special) {
			return fmt.Errorf("the flag %s is put together from variables or quotes", flag)
		}
		if err := check(name, value); err != nil {
			return err
		}
	}
	return nil
}

func checkCopyFlag(name, value string) error {
	if name == "from" {
		return checkImage(value)
	}
	return nil
}

func checkRunFlag(name, value string) error {
	switch {
	case name == "mount":
		return checkMount(value)
	case name == "network" && (value == "none" || value == "default"):
		return nil
	}
	return fmt.Errorf("RUN --%s=%s is not taken: the step would get more of the host than a container", name, value)
}

// checkMount takes what lies in an image or nowhere: a bind from an image or from
// the build's own files, of which there are none, and a tmpfs.
func checkMount(value string) error {
	if strings.ContainsAny(value, special) {
		return fmt.Errorf("RUN --mount=%s is put together from variables or quotes", value)
	}
	for field := range strings.SplitSeq(value, ",") {
		key, value, _ := strings.Cut(field, "=")
		switch strings.ToLower(key) {
		case "type":
			if value != "bind" && value != "tmpfs" {
				return fmt.Errorf("RUN --mount=type=%s is not taken: caches are shared with the user's other builds, and there are no secrets to mount", value)
			}
		case "from":
			if err := checkImage(value); err != nil {
				return err
			}
		}
	}
	return nil
}
