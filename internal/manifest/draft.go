package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"gopkg.in/yaml.v3"
)

// Draft is a new agent and, where its bottle does not exist yet, a new bottle.
type Draft struct {
	Agent  string // name
	Front  AgentFile
	Prompt string
	// Bottle is nil when Front.Bottle exists already.
	Bottle *BottleFile
}

// Write checks the draft and creates its files below root. It overwrites
// nothing, and it creates either all files or none. It returns their paths.
func (d Draft) Write(root string) ([]string, error) {
	type newFile struct {
		path string
		text []byte
	}
	var files []newFile
	if d.Bottle != nil {
		path := filepath.Join(root, bottlesDir, d.Front.Bottle+suffix)
		text, err := render(d.Bottle, "")
		if err == nil {
			err = checkBottle(d.Front.Bottle, path, text)
		}
		if err != nil {
			return nil, err
		}
		files = append(files, newFile{path, text})
	}
	path := filepath.Join(root, agentsDir, d.Agent+suffix)
	text, err := render(d.Front, d.Prompt)
	if err == nil {
		err = checkAgent(d.Agent, path, text)
	}
	if err != nil {
		return nil, err
	}
	files = append(files, newFile{path, text})

	var written []string
	for _, f := range files {
		if err := create(f.path, f.text); err != nil {
			for _, path := range written {
				err = errors.Join(err, os.Remove(path))
			}
			return nil, err
		}
		written = append(written, f.path)
	}
	return written, nil
}

func checkBottle(name, path string, text []byte) error {
	if !ValidName(name) {
		return fmt.Errorf("%q cannot be the name of a bottle: lower-case letters, digits and dashes", name)
	}
	doc, err := parseDocument(path, text)
	if err != nil {
		return err
	}
	_, _, err = parseBottle(name, doc)
	return err
}

func checkAgent(name, path string, text []byte) error {
	if !ValidName(name) {
		return fmt.Errorf("%q cannot be the name of an agent: lower-case letters, digits and dashes", name)
	}
	doc, err := parseDocument(path, text)
	if err != nil {
		return err
	}
	_, err = parseAgent(doc)
	return err
}

// render gives a manifest file: the front matter and the text below it.
func render(front any, body string) ([]byte, error) {
	var out bytes.Buffer
	out.WriteString("---\n")
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(front); err != nil {
		return nil, fmt.Errorf("render the manifest: %w", err)
	}
	out.WriteString("---\n")
	if body = strings.TrimSpace(body); body != "" {
		out.WriteString("\n" + body + "\n")
	}
	return out.Bytes(), nil
}

// create writes a file that must not exist.
func create(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("create manifest: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists already; choose another name, or change it with: podbottle edit %s", path, strings.TrimSuffix(filepath.Base(path), suffix))
	}
	if err != nil {
		return fmt.Errorf("create manifest: %w", err)
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("create manifest: %w", err), os.Remove(path))
	}
	return nil
}
