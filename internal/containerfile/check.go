// Package containerfile looks at a Containerfile that an agent wrote, before it is
// built on the host, outside of the agent's sandbox.
package containerfile

import (
	"bytes"
	"encoding/csv"
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
	arguments := map[string]bool{}
	for _, node := range parsed.AST.Children {
		if err := checkInstruction(node, arguments); err != nil {
			return fmt.Errorf("line %d of the Containerfile: %w", node.StartLine, err)
		}
	}
	return nil
}

// checkInstruction checks one instruction. arguments are the names of the ARGs so far.
func checkInstruction(node *parser.Node, arguments map[string]bool) error {
	switch strings.ToLower(node.Value) {
	case "add":
		return errors.New("ADD is not taken: it may fetch with the host's network and the user's credentials; use COPY, or RUN with curl or git")
	case "onbuild":
		return errors.New("ONBUILD is not taken: it acts in builds that nobody approved")
	case "from":
		return checkBase(words(node), arguments)
	case "arg":
		return checkArguments(words(node), arguments)
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

func checkBase(list []string, arguments map[string]bool) error {
	if len(list) == 0 {
		return errors.New("FROM names no image")
	}
	if match := variable.FindStringSubmatch(list[0]); match != nil && arguments[match[1]+match[2]] {
		return nil // its value was checked
	}
	return checkImage(list[0])
}

func checkArguments(list []string, arguments map[string]bool) error {
	for _, word := range list {
		name, value, _ := strings.Cut(word, "=")
		if err := checkImage(strings.Trim(value, `"'`)); value != "" && err != nil {
			// It is no image's name for certain, so it may be anything but cannot be one.
			continue
		}
		arguments[name] = true
	}
	return nil
}

// paths are the transports of containers-transports(5) that read from the host.
var paths = regexp.MustCompile(`^(?i:containers-storage|dir|docker-archive|docker-daemon|oci|oci-archive|ostree|sif|tarball):`)

// checkImage refuses what is no image's plain name.
func checkImage(name string) error {
	switch {
	case strings.ContainsAny(name, "$`\\"):
		return fmt.Errorf("%q is put together from variables; write the image's name, or ${NAME} alone with an ARG NAME=IMAGE above it", name)
	case paths.MatchString(name):
		return fmt.Errorf("%q is read from a place of the host; name an image", name)
	}
	return nil
}

func checkFlags(flags []string, check func(name, value string) error) error {
	for _, flag := range flags {
		name, value, _ := strings.Cut(strings.TrimPrefix(flag, "--"), "=")
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
	fields, err := csv.NewReader(strings.NewReader(value)).Read()
	if err != nil {
		return fmt.Errorf("RUN --mount=%s cannot be read: %w", value, err)
	}
	kind := "bind"
	for _, field := range fields {
		key, value, _ := strings.Cut(field, "=")
		switch strings.ToLower(key) {
		case "type":
			kind = value
		case "from":
			if err := checkImage(value); err != nil {
				return err
			}
		}
	}
	if kind != "bind" && kind != "tmpfs" {
		return fmt.Errorf("RUN --mount=type=%s is not taken: caches are shared with the user's other builds, and there are no secrets to mount", kind)
	}
	return nil
}
