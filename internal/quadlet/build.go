package quadlet

import (
	"maps"
	"slices"
)

// build is the agent's image, made from a copy of the bottle's Containerfile and
// its context. Podman's cache makes it a no-op when nothing changed.
func (w bottle) build() (Unit, error) {
	if err := image(w.Build.Image); err != nil {
		return Unit{}, err
	}
	f := w.begin("The agent's image")
	f.quadlet()
	f.section("Build")
	f.set("ImageTag", w.Build.Image)
	f.set("File", w.Build.Containerfile)
	f.set("SetWorkingDirectory", w.Build.Context)
	f.line("ForceRM", "true")
	f.pairs("Label", w.Build.Labels)
	for _, name := range slices.Sorted(maps.Keys(w.Build.Args)) {
		f.podmanArgs("Quadlet of Podman 5.4 has no key for a build argument.", "--build-arg="+name+"="+w.Build.Args[name])
	}
	f.section("Service")
	f.line("TimeoutStartSec", "30min")
	return f.unit(w.unit("image", "build"))
}
