package handover

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"reflect"
	"syscall"

	"github.com/pelletier/go-toml/v2"
)

// maxMerged bounds a file of the agent's that is merged with, in bytes.
const maxMerged = 64 << 20

// mergeFile puts the file's values over those that the agent's file has. A file
// that cannot be read as what its name says is left as it is: the agent's program
// will complain of it in its own words, and podbottle must not lose what it holds.
func mergeFile(home *os.Root, name string, content []byte, mode fs.FileMode) error {
	current, err := readForMerge(home, name)
	if errors.Is(err, fs.ErrNotExist) {
		return replaceFile(home, name, content, mode)
	}
	if err == nil {
		current, err = merge(path.Ext(name), current, content)
	}
	switch {
	case err != nil:
		fmt.Fprintf(os.Stderr, "podbottle: %s in the agent's home is left as it is: %v\n", name, err)
		return nil
	case current == nil:
		return nil
	}
	return replaceFile(home, name, current, mode)
}

func readForMerge(home *os.Root, name string) ([]byte, error) {
	f, err := home.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxMerged {
		return nil, fmt.Errorf("it is no file of at most %d MiB", maxMerged>>20)
	}
	return io.ReadAll(io.LimitReader(f, maxMerged))
}

// merge puts the values of patch over those of current, both JSON or TOML by ext.
// It returns nil when current has them already, so that its comments and order stay.
func merge(ext string, current, patch []byte) ([]byte, error) {
	unmarshal, marshal := unmarshalJSON, func(v any) ([]byte, error) { return json.MarshalIndent(v, "", "  ") }
	if ext == ".toml" {
		unmarshal, marshal = toml.Unmarshal, toml.Marshal
	}
	var old, before, over map[string]any
	for into, text := range map[*map[string]any][]byte{&old: current, &before: current, &over: patch} {
		if err := unmarshal(text, into); err != nil {
			return nil, err
		}
	}
	merged := mergeMaps(old, over)
	if reflect.DeepEqual(merged, before) {
		return nil, nil
	}
	return marshal(merged)
}

// unmarshalJSON keeps numbers as they are written.
func unmarshalJSON(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return decoder.Decode(into)
}

// mergeMaps puts over on base as a JSON merge patch does (RFC 7396), without the
// removal of members.
func mergeMaps(base, over map[string]any) map[string]any {
	if base == nil {
		base = map[string]any{}
	}
	for key, value := range over {
		if table, ok := value.(map[string]any); ok {
			old, _ := base[key].(map[string]any)
			base[key] = mergeMaps(old, table)
			continue
		}
		base[key] = value
	}
	return base
}
