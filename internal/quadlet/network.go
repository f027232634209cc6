package quadlet

import (
	"net/netip"

	"github.com/podbottle/podbottle/internal/blueprint"
)

// network is one of the bottle's two networks.
func (w bottle) network(part string, n blueprint.Network, subnet netip.Prefix) (Unit, error) {
	f := w.begin("The " + part + " network")
	f.comment("It goes when the bottle is stopped.")
	f.line("PartOf", PodService(w.Slug))
	f.quadlet()
	f.section("Network")
	f.set("NetworkName", n.Name)
	f.line("Driver", "bridge")
	if n.Internal {
		f.line("Internal", "true")
	}
	f.line("DisableDNS", "true")
	if subnet.IsValid() {
		f.comment("Fixed, because the addresses in the other units lie in it.")
		f.line("Subnet", subnet.String())
	}
	f.pairs("Options", n.Options)
	f.pairs("Label", w.Labels)
	if w.since("5.5.0") {
		f.line("NetworkDeleteOnStop", "true")
		return f.unit(w.unit(part, "network"))
	}
	f.section("Service")
	f.comment("What NetworkDeleteOnStop= does from Podman 5.5 on.")
	f.line("ExecStopPost", "-podman network rm "+n.Name)
	return f.unit(w.unit(part, "network"))
}
