package bottle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/podbottle/podbottle/images"
	"github.com/podbottle/podbottle/internal/pod"
	"github.com/podbottle/podbottle/internal/provider"
)

// Build builds the sidecar image and the images of the named providers, or of
// all that have one. A base other than the default comes from config.yaml or from base.
func (l *Launcher) Build(ctx context.Context, names []string, base string) error {
	known := embedded()
	for _, name := range names {
		if known[name] == "" {
			return fmt.Errorf("provider %q has no image of podbottle's; it can be one of: %s", name, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
	}
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(known))
	}
	client, err := pod.Connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	binary, err := pod.SidecarBinary()
	if err != nil {
		return err
	}
	sidecar, err := client.EnsureSidecar(ctx, binary, l.dataDir())
	if err != nil {
		return err
	}
	fmt.Fprintln(l.Out, sidecar.Image)
	var problems []error
	for _, name := range names {
		image := known[name]
		if err := l.buildEmbedded(ctx, client, image, name, base); err != nil {
			problems = append(problems, err)
			continue
		}
		fmt.Fprintln(l.Out, image)
	}
	return errors.Join(problems...)
}

// embedded maps the providers with an image of podbottle's own to its name.
func embedded() map[string]string {
	names := map[string]string{}
	for _, template := range provider.Templates() {
		runtime, err := provider.RuntimeFor(provider.Config{Template: template})
		if err == nil && strings.HasPrefix(runtime.Dockerfile, images.Prefix) {
			names[template] = runtime.Image
		}
	}
	return names
}
