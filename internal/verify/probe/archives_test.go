package probe

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// TestArchivesSayWhatTheyAreMeantTo reads the streams back: an attack that no reader
// understands is none.
func TestArchivesSayWhatTheyAreMeantTo(t *testing.T) {
	const outside = "/tmp/a/outside"
	broken := map[string]bool{ // on purpose: the reader itself has to refuse them
		"larger-than-any-file": true, "negative": true, "huge": true, "sparse": true, "sparse-in-header": true, "nul": true, "very-long-name": true,
	}
	for name, members := range hostileArchives(outside) {
		var said strings.Builder
		reader := tar.NewReader(bytes.NewReader(tarStream(members)))
		for {
			h, err := reader.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				if !broken[name] {
					t.Errorf("%s: %v", name, err)
				}
				break
			}
			said.WriteString(string(h.Typeflag) + " " + h.Name + " " + h.Linkname + "\n")
		}
		for want, names := range map[string][]string{
			outside + "/" + Victim: {"absolute", "absolute-in-header", "hard-link", "hard-link-to-link", "twice", "long-name"},
			"../../" + Outside:     {"dot-dot", "link-up"},
			"\x1b]52;":             {"odd-records", "name-of-a-setting"},
		} {
			for _, one := range names {
				if one == name && !strings.Contains(said.String(), want) {
					t.Errorf("%s does not say %q: %q", name, want, said.String())
				}
			}
		}
	}
}
