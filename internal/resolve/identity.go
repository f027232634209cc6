package resolve

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/podbottle/podbottle/internal/state"
)

// The random part of a slug: five characters of base 36, 60 million slugs an agent.
const (
	suffixLength  = 5
	suffixLetters = "0123456789abcdefghijklmnopqrstuvwxyz"
	// maxSlugName keeps the whole slug within state.ValidSlug.
	maxSlugName = 40
)

// newIdentity mints a slug that no bottle has: the agent's name and a random part.
func newIdentity(host Host, agentName string) (string, error) {
	name := agentName
	if len(name) > maxSlugName {
		name = strings.TrimRight(name[:maxSlugName], "-")
	}
	const tries = 10
	for range tries {
		suffix, err := randomSuffix(host.Rand)
		if err != nil {
			return "", fmt.Errorf("name the bottle: %w", err)
		}
		slug := name + "-" + suffix
		tree, err := state.Of(host.Root, slug)
		if err != nil {
			return "", err
		}
		if _, err := os.Lstat(tree.Dir()); errors.Is(err, os.ErrNotExist) {
			return slug, nil
		}
	}
	return "", fmt.Errorf("no free name for a bottle of agent %s in %d tries; remove old ones with: podbottle cleanup", agentName, tries)
}

// randomSuffix draws evenly: bytes above the largest multiple of 36 are drawn again.
func randomSuffix(random io.Reader) (string, error) {
	const limit = 256 - 256%len(suffixLetters)
	suffix := make([]byte, 0, suffixLength)
	var b [1]byte
	for len(suffix) < suffixLength {
		if _, err := io.ReadFull(random, b[:]); err != nil {
			return "", err
		}
		if int(b[0]) < limit {
			suffix = append(suffix, suffixLetters[int(b[0])%len(suffixLetters)])
		}
	}
	return string(suffix), nil
}
