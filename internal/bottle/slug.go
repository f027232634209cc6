package bottle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/podbottle/podbottle/internal/pod"
	"github.com/podbottle/podbottle/internal/state"
)

// pickSlug returns the slug that a user means: name itself, or the only slug that
// begins with it. The first list that has any such slug decides; no list has to be sorted.
func pickSlug(name string, lists ...[]string) (string, error) {
	for _, slugs := range lists {
		if slices.Contains(slugs, name) {
			return name, nil
		}
	}
	for _, slugs := range lists {
		var begun []string
		for _, slug := range slugs {
			if name != "" && strings.HasPrefix(slug, name) {
				begun = append(begun, slug)
			}
		}
		switch len(begun) {
		case 0:
		case 1:
			return begun[0], nil
		default:
			slices.Sort(begun)
			return "", fmt.Errorf("%s is the beginning of several slugs: %s", name, strings.Join(begun, ", "))
		}
	}
	return "", fmt.Errorf("%w %s; podbottle list --all shows those there are", pod.ErrNoBottle, name)
}

// FindState returns the slug that name stands for among the bottles that have state.
func FindState(root, name string) (string, error) {
	slugs, err := state.List(root)
	if err != nil {
		return "", err
	}
	return pickSlug(name, slugs)
}

// errNotHeld says that a bottle has state and that Podman has nothing of it.
var errNotHeld = errors.New("does not run")

// find returns the bottle that name stands for, out of those that Podman holds. Of
// one that only has state it says with errNotHeld how to go on; the summary has
// nothing but its slug then.
func (l *Launcher) find(ctx context.Context, client *pod.Client, name string) (pod.Summary, error) {
	held, err := client.List(ctx)
	if err != nil {
		return pod.Summary{}, err
	}
	kept, err := state.List(l.Root)
	if err != nil {
		return pod.Summary{}, err
	}
	slug, err := pickSlug(name, slugsOf(held), kept)
	if err != nil {
		return pod.Summary{}, err
	}
	if i := slices.IndexFunc(held, func(s pod.Summary) bool { return s.Slug == slug }); i >= 0 {
		return held[i], nil
	}
	onward := "podbottle resume " + slug
	if l.OwnedBySystemd(slug) {
		onward = "podbottle quadlet start " + slug
	}
	return pod.Summary{Slug: slug}, fmt.Errorf("bottle %s %w; go on with it by %s", slug, errNotHeld, onward)
}

// Running returns the bottle that runs and that name stands for.
func (l *Launcher) Running(ctx context.Context, client *pod.Client, name string) (pod.Summary, error) {
	found, err := l.find(ctx, client, name)
	if err == nil && found.Status != "running" && found.Status != "degraded" {
		err = fmt.Errorf("bottle %s does not run, it is %s; podbottle list says more", found.Slug, found.Status)
	}
	return found, err
}

// findKept returns the slug that name stands for, before all out of the bottles that
// have state and do not run.
func (l *Launcher) findKept(ctx context.Context, client *pod.Client, name string) (string, error) {
	slugs, err := state.List(l.Root)
	if err != nil || slices.Contains(slugs, name) {
		return name, err
	}
	held, err := client.List(ctx)
	if err != nil {
		return "", err
	}
	live := slugsOf(held)
	kept := slices.DeleteFunc(slices.Clone(slugs), func(slug string) bool { return slices.Contains(live, slug) })
	return pickSlug(name, kept, slugs)
}

func slugsOf(bottles []pod.Summary) []string {
	slugs := make([]string, 0, len(bottles))
	for _, b := range bottles {
		slugs = append(slugs, b.Slug)
	}
	return slugs
}
