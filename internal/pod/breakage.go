//go:build breakage

package pod

import (
	"os"

	nettypes "github.com/containers/common/libnetwork/types"
	"github.com/containers/podman/v5/pkg/specgen"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/podbottle/podbottle/internal/blueprint"
)

// breakage is what the tests of podbottle verify do to a bottle, to see that it is
// found out. Its name comes from PODBOTTLE_BREAK.
type breakage string

func brokenBy() breakage { return breakage(os.Getenv("PODBOTTLE_BREAK")) }

// network tells whether a network gets Podman's resolver.
func (b breakage) network(n blueprint.Network) bool { return b == "dns" && n.Internal }

// unseen tells whether reading back is left out, which would find the breakage first.
func (b breakage) unseen() bool { return b != "" && os.Getenv("PODBOTTLE_BREAK_SEEN") == "" }

// container breaks the agent's container.
func (b breakage) container(s *specgen.SpecGenerator, bottle *blueprint.Bottle, c blueprint.Container) {
	if c.Service != blueprint.Agent {
		return
	}
	no := false
	mount := func(source, target string) {
		s.Mounts = append(s.Mounts, specs.Mount{Type: "bind", Source: source, Destination: target, Options: []string{"bind", "rw"}})
	}
	if b.unseen() {
		s.Env["PODBOTTLE_BROKEN"] = "1" // the handover's proofs would find it too
	}
	switch b {
	case "route":
		s.Networks[bottle.Uplink.Name] = nettypes.PerNetworkOptions{InterfaceName: "up0"}
	case "dns":
		s.DNSServers = nil
	case "capability":
		s.CapAdd = []string{"NET_RAW"}
	case "privileges":
		s.NoNewPrivileges = &no
	case "seccomp":
		s.SeccompProfilePath = "unconfined"
	case "default-seccomp":
		s.SeccompProfilePath = ""
	case "environment":
		for _, f := range bottle.Files {
			if f.Path == "egress/secrets/EGRESS_TOKEN_0" {
				s.Env["LEAKED"] = f.Content.Reveal()
			}
		}
	case "secret":
		mount(os.Getenv("XDG_RUNTIME_DIR")+"/podbottle/"+bottle.Slug+"/egress/secrets", "/leaked")
	case "socket":
		mount(os.Getenv("XDG_RUNTIME_DIR")+"/podman/podman.sock", "/run/podman/podman.sock")
	case "writable":
		for i, m := range s.Mounts {
			if m.Destination == blueprint.HandoverDir {
				s.Mounts[i].Options = []string{"bind", "rw"}
			}
		}
	case "namespace":
		s.CgroupNS = specgen.Namespace{NSMode: specgen.Host}
	case "device":
		s.Devices = append(s.Devices, specs.LinuxDevice{Path: "/dev/fuse"})
	}
}
