package pod

import (
	"context"
	"fmt"
	"strings"

	"github.com/containers/podman/v5/pkg/bindings/secrets"

	"github.com/podbottle/podbottle/internal/secret"
)

// SetSecret keeps a value in Podman's secret store, in place of an earlier one.
// Containers that mount it see the new value when they are created next.
func (c *Client) SetSecret(ctx context.Context, name string, labels map[string]string, value secret.Value) error {
	options := new(secrets.CreateOptions).WithName(name).WithLabels(labels).WithReplace(true)
	if _, err := secrets.Create(c.with(ctx), strings.NewReader(value.Reveal()), options); err != nil {
		return fmt.Errorf("secret %s: %w", name, err)
	}
	return nil
}
