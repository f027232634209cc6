package quadlet

import "github.com/podbottle/podbottle/internal/blueprint"

// volume is the agent's home. It outlives the containers; Podman fills it from
// the image on first use.
func (w bottle) volume() (Unit, error) {
	f := w.begin("The agent's home")
	f.quadlet()
	f.section("Volume")
	f.set("VolumeName", blueprint.HomeVolume(w.Slug))
	f.pairs("Label", w.Labels)
	return f.unit(w.unit("home", "volume"))
}
