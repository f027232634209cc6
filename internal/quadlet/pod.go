package quadlet

import (
	"maps"
	"slices"

	"github.com/podbottle/podbottle/internal/blueprint"
)

// pod is the unit that starts and stops the whole bottle.
func (w bottle) pod() (Unit, error) {
	addresses, err := blueprint.AddressesOf(w.Subnet)
	if err != nil {
		return Unit{}, err
	}
	f := w.begin("The pod")
	f.quadlet()
	f.section("Pod")
	f.set("PodName", w.PodName)
	f.line("Network", w.unit("internal", "network")+":ip="+addresses.Pod.String()+",interface_name="+w.Internal.InterfaceName)
	f.line("Network", w.unit("uplink", "network")+":interface_name="+w.Uplink.InterfaceName)
	if w.since("5.6.0") {
		f.pairs("Label", w.Labels)
		f.line("ExitPolicy", "continue")
	} else {
		var args []string
		for _, name := range slices.Sorted(maps.Keys(w.Labels)) {
			args = append(args, "--label="+name+"="+w.Labels[name])
		}
		f.podmanArgs("Keys from Podman 5.6 on. A pod that outlives its containers lets them be restarted.", append(args, "--exit-policy=continue")...)
	}
	args := []string{"--infra-name=" + w.InfraName, "--share=net", "--share-parent=false"}
	for _, name := range slices.Sorted(maps.Keys(w.Sysctls)) {
		args = append(args, "--sysctl="+name+"="+w.Sysctls[name])
	}
	f.podmanArgs("Quadlet has no key for the infra container's name, nor for its sysctls, nor for what is shared: the network, by the sidecars alone.", args...)
	f.section("Service")
	f.comment("On tmpfs; it goes when the pod is stopped.")
	f.line("RuntimeDirectory", "podbottle/"+w.Slug)
	f.line("RuntimeDirectoryMode", "0700")
	f.comment("Writes the files that the containers mount into it, with certificate authorities that live as long as the pod.")
	w.own(f, "ExecStartPre", "prepare")
	f.line("RestartSec", "1")
	if w.Headless == nil {
		f.section("Install")
		f.line("WantedBy", "default.target")
	}
	return f.unit(w.podUnit())
}

// own writes a command of podbottle itself. Where the state is not in its usual
// place, env(1) says so: Quadlet of Podman 5.4 drops an Environment= of a pod.
func (w bottle) own(f *file, key, verb string) {
	program, err := w.argument(w.Program)
	f.check(key, err)
	if w.StateRoot != "" {
		root, err := w.argument(w.StateRoot)
		f.check(key, err)
		program = "env " + "BOT_BOTTLE_ROOT=" + root + " " + program
	}
	f.line(key, program+" quadlet "+verb+" "+w.Slug)
}
