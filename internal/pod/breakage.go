//go:build breakage

package pod

import (
	"maps"
	"os"

	nettypes "github.com/containers/common/libnetwork/types"
	"github.com/containers/podman/v5/pkg/specgen"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/podbottle/podbottle/internal/blueprint"
	"github.com/podbottle/podbottle/internal/breakage"
)

// unseen tells whether reading back is left out, which would find a breakage first.
func unseen() bool { return breakage.All() != "" && os.Getenv("PODBOTTLE_BREAK_SEEN") == "" }

// neighbour is a container on the agent's network that has no business there.
const neighbour blueprint.Service = "neighbour"

// breakMembers adds to the containers of a bottle.
func breakMembers(all []blueprint.Container) []blueprint.Container {
	if !breakage.Has("neighbour") {
		return all
	}
	sidecar, agent := all[0], all[len(all)-1]
	labels := maps.Clone(agent.Labels)
	labels[blueprint.LabelService] = string(neighbour)
	return append([]blueprint.Container{{
		Service: neighbour, Name: agent.Name + "-" + string(neighbour), Hostname: string(neighbour), Labels: labels,
		Image: sidecar.Image, Entrypoint: sidecar.Entrypoint, Command: []string{"probe", "hold", string(neighbour)}, User: sidecar.User,
		OwnNetwork: true, Address: agent.Address.Next(), DNS: agent.DNS, ReadOnly: true, PidsLimit: sidecar.PidsLimit,
	}}, all...)
}

// breakContainer breaks a container.
func breakContainer(s *specgen.SpecGenerator, bottle *blueprint.Bottle, c blueprint.Container) {
	if unseen() { // else it is the bottle's own checks that are tried, the handover's too
		if s.Env == nil {
			s.Env = map[string]string{}
		}
		s.Env[breakage.Variable] = breakage.All()
	}
	switch c.Service {
	case blueprint.Agent:
		for what, apply := range breakages {
			if breakage.Has(what) {
				apply(s, bottle)
			}
		}
	case neighbour:
		joinUplink(s, bottle)
	}
}

func joinUplink(s *specgen.SpecGenerator, bottle *blueprint.Bottle) {
	s.Networks[bottle.Uplink.Name] = nettypes.PerNetworkOptions{InterfaceName: "up0"}
}

// breakages are what can be broken about the agent's container.
var breakages = map[string]func(*specgen.SpecGenerator, *blueprint.Bottle){
	"route": joinUplink,
	"dns":   func(s *specgen.SpecGenerator, _ *blueprint.Bottle) { s.DNSServers = nil },
	"names": func(s *specgen.SpecGenerator, _ *blueprint.Bottle) {
		s.HostAdd = append(s.HostAdd, "example.com:198.51.100.1")
	},
	"capability": func(s *specgen.SpecGenerator, _ *blueprint.Bottle) {
		s.CapAdd = []string{"NET_ADMIN", "NET_RAW", "SETGID", "SETUID", "SYS_ADMIN"}
	},
	"privileges":      func(s *specgen.SpecGenerator, _ *blueprint.Bottle) { s.NoNewPrivileges = new(bool) },
	"seccomp":         func(s *specgen.SpecGenerator, _ *blueprint.Bottle) { s.SeccompProfilePath = "unconfined" },
	"default-seccomp": func(s *specgen.SpecGenerator, _ *blueprint.Bottle) { s.SeccompProfilePath = "" },
	"unmask":          func(s *specgen.SpecGenerator, _ *blueprint.Bottle) { s.Unmask = []string{"ALL"} },
	"environment":     func(s *specgen.SpecGenerator, b *blueprint.Bottle) { s.Env["LEAKED"] = injected(b) },
	"arguments":       func(s *specgen.SpecGenerator, b *blueprint.Bottle) { s.Command = append(s.Command, injected(b)) },
	"secret": func(s *specgen.SpecGenerator, b *blueprint.Bottle) {
		mount(s, os.Getenv("XDG_RUNTIME_DIR")+"/podbottle/"+b.Slug+"/egress/secrets", "/leaked")
	},
	"socket": func(s *specgen.SpecGenerator, _ *blueprint.Bottle) {
		mount(s, os.Getenv("XDG_RUNTIME_DIR")+"/podman/podman.sock", "/run/podman/podman.sock")
	},
	"loopback": func(s *specgen.SpecGenerator, _ *blueprint.Bottle) {
		mount(s, os.Getenv(breakage.TrialVariable)+breakage.LoopbackDir, breakage.LoopbackDir)
	},
	"writable": func(s *specgen.SpecGenerator, _ *blueprint.Bottle) {
		for i, m := range s.Mounts {
			if m.Destination == blueprint.HandoverDir {
				s.Mounts[i].Options = []string{"bind", "rw"}
			}
		}
	},
	"namespaces": func(s *specgen.SpecGenerator, _ *blueprint.Bottle) {
		s.CgroupNS, s.PidNS = specgen.Namespace{NSMode: specgen.Host}, specgen.Namespace{NSMode: specgen.Host}
		s.Init = new(bool) // it would have to be PID 1
	},
	"device": func(s *specgen.SpecGenerator, _ *blueprint.Bottle) {
		s.Devices = append(s.Devices, specs.LinuxDevice{Path: "/dev/fuse"})
	},
}

func mount(s *specgen.SpecGenerator, source, target string) {
	s.Mounts = append(s.Mounts, specs.Mount{Type: "bind", Source: source, Destination: target, Options: []string{"bind", "rw"}})
}

// injected is the credential that egress adds to requests.
func injected(b *blueprint.Bottle) string {
	for _, f := range b.Files {
		if f.Path == "egress/secrets/EGRESS_TOKEN_0" {
			return f.Content.Reveal()
		}
	}
	return ""
}
