package bottle

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/podbottle/podbottle/internal/pod"
)

// spareImages are what podbottle made for any bottle and none needs now: images of
// earlier versions, layers that are kept for the next build, and old copies of the
// sidecars' program. All of it is made again when it is wanted.
func (l *Launcher) spareImages(ctx context.Context, client *pod.Client, running bool) ([]leftover, error) {
	units, err := l.unitTexts()
	if err != nil {
		return nil, err
	}
	own, err := client.OwnImages(ctx)
	if err != nil {
		return nil, err
	}
	var list []leftover
	for _, image := range own {
		if image.Slug == "" && !image.Used && !strings.Contains(units, image.Name) {
			list = append(list, leftover{"image " + image.Name, func(ctx context.Context) error {
				return client.RemoveObject(ctx, pod.Object{Kind: "image", Name: image.Name})
			}})
		}
	}
	if running {
		return list, nil
	}
	programs, err := filepath.Glob(filepath.Join(l.dataDir(), "podbottle-sidecar-*"))
	if err != nil {
		return nil, err
	}
	for _, program := range programs {
		if !strings.Contains(units, program) {
			list = append(list, leftover{"program " + program, func(context.Context) error { return os.Remove(program) }})
		}
	}
	return list, nil
}

// unitTexts are the units of all installed bottles, one after the other.
func (l *Launcher) unitTexts() (string, error) {
	var all strings.Builder
	for _, name := range l.InstalledNames() {
		files, err := filepath.Glob(filepath.Join(l.quadletDir(name), "*"))
		if err != nil {
			return "", err
		}
		for _, file := range files {
			text, err := os.ReadFile(file) // #nosec G304 -- our own units
			if err != nil {
				return "", err
			}
			all.Write(text)
		}
	}
	return all.String(), nil
}
