package pod

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"syscall"

	"github.com/containers/podman/v5/pkg/bindings/containers"
)

// buildContainer is how the builder names the container that it could not delete.
var buildContainer = regexp.MustCompile(`build container "([0-9a-f]{64})"`)

// buildError says why an image was not built. On a full disk the builder's own
// answer is a page, and it fails to delete its working container: what it names is
// removed, which takes no space.
func (c *Client) buildError(ctx context.Context, image string, cause error) error {
	if !diskFull(cause) {
		return fmt.Errorf("image %s cannot be built: %w", image, cause)
	}
	err := fmt.Errorf("image %s cannot be built: the disk that holds Podman's images is full; make room on it, such as with podbottle cleanup --images or podman image prune", image)
	if match := buildContainer.FindStringSubmatch(cause.Error()); match != nil {
		_, removeErr := containers.Remove(c.with(context.WithoutCancel(ctx)), match[1], new(containers.RemoveOptions).WithForce(true).WithIgnore(true))
		if removeErr != nil && !notFound(removeErr) {
			err = errors.Join(err, fmt.Errorf("the builder's container %s: %w", match[1], removeErr))
		}
	}
	return err
}

// diskFull tells whether the service ran out of space; it reports text only.
func diskFull(err error) bool { return strings.Contains(err.Error(), syscall.ENOSPC.Error()) }
