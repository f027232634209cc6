package pod

import (
	"maps"
	"net"
	"net/netip"
	"path/filepath"

	nettypes "github.com/containers/common/libnetwork/types"
	"github.com/containers/image/v5/manifest"
	"github.com/containers/podman/v5/libpod/define"
	"github.com/containers/podman/v5/pkg/domain/entities/types"
	"github.com/containers/podman/v5/pkg/specgen"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/podbottle/podbottle/internal/blueprint"
)

// podSpec is the pod with its infra container. It carries no volumes, devices or
// security options: every member would inherit them.
func podSpec(b *blueprint.Bottle, a blueprint.Addresses) *types.PodSpec {
	shareParent := false
	var hosts []string
	for _, h := range b.Hosts {
		hosts = append(hosts, h.Name+":"+h.Addr.String())
	}
	return &types.PodSpec{PodSpecGen: specgen.PodSpecGenerator{
		PodBasicConfig: specgen.PodBasicConfig{
			Name:             b.PodName,
			InfraName:        b.InfraName,
			Labels:           maps.Clone(b.Labels),
			ExitPolicy:       "continue",
			RestartPolicy:    "no",
			SharedNamespaces: []string{"net"},
			ShareParent:      &shareParent,
			Sysctl:           maps.Clone(b.Sysctls),
		},
		PodNetworkConfig: specgen.PodNetworkConfig{
			NetNS:   specgen.Namespace{NSMode: specgen.Bridge},
			HostAdd: hosts,
			Networks: map[string]nettypes.PerNetworkOptions{
				b.Internal.Name: {InterfaceName: b.Internal.InterfaceName, StaticIPs: []net.IP{ip(a.Pod)}},
				b.Uplink.Name:   {InterfaceName: b.Uplink.InterfaceName},
			},
		},
	}}
}

// containerSpec translates one container.
func containerSpec(b *blueprint.Bottle, c blueprint.Container, h host) *specgen.SpecGenerator {
	stop := uint(c.StopTime.Seconds())
	s := hardened(c.Image)
	s.Name = c.Name
	s.Pod = b.PodName
	s.Entrypoint = c.Entrypoint
	s.Command = c.Command
	s.Env = maps.Clone(c.Env)
	s.Labels = maps.Clone(c.Labels)
	s.Terminal = &c.Terminal
	s.Stdin = &c.Stdin
	s.StopTimeout = &stop
	s.User = c.User
	s.WorkDir = c.WorkDir
	s.Init = &c.Init
	s.ReadOnlyFilesystem = &c.ReadOnly
	s.SeccompProfilePath = h.seccomp
	// Podman's command line sets it too; inspect tells the profile by it.
	s.Annotations = map[string]string{define.InspectAnnotationSeccomp: h.seccomp}
	if c.Runsc {
		s.OCIRuntime = h.runtime
	}
	if c.OwnNetwork {
		ownNetwork(s, b, c)
	}
	for _, m := range c.Mounts {
		addMount(s, m, h)
	}
	for _, target := range c.Tmpfs {
		s.Mounts = append(s.Mounts, specs.Mount{Type: "tmpfs", Source: "tmpfs", Destination: target, Options: []string{"rw", "nosuid", "nodev", "noexec", "size=64m"}})
	}
	s.ResourceLimits = resources(c, h)
	if c.NProc > 0 {
		s.Rlimits = []specs.POSIXRlimit{{Type: "nproc", Soft: uint64(c.NProc), Hard: uint64(c.NProc)}} // Podman adds RLIMIT_
	}
	if c.Slice != "" && h.slices {
		s.CgroupParent = c.Slice
	}
	return s
}

// hardened is what every container of podbottle's has: no capability, nothing of
// the host's environment, and namespaces of its own but for the network.
func hardened(image string) *specgen.SpecGenerator {
	yes, no := true, false
	s := specgen.NewSpecGenerator(image, false)
	s.EnvHost = &no
	s.HTTPProxy = &no
	s.RestartPolicy = "no"
	s.CapDrop = []string{"all"}
	s.NoNewPrivileges = &yes
	s.ReadWriteTmpfs = &no
	s.ImageVolumeMode = "ignore"
	s.HealthConfig = &manifest.Schema2HealthConfig{Test: []string{"NONE"}}
	s.IpcNS = specgen.Namespace{NSMode: specgen.Private}
	s.PidNS = specgen.Namespace{NSMode: specgen.Private}
	s.UtsNS = specgen.Namespace{NSMode: specgen.Private}
	s.CgroupNS = specgen.Namespace{NSMode: specgen.Private}
	return s
}

// ownNetwork puts a container of the pod on the internal network alone. The
// network namespace must be named: left unset the container joins the pod's, and
// "private" means pasta and with it the internet.
func ownNetwork(s *specgen.SpecGenerator, b *blueprint.Bottle, c blueprint.Container) {
	s.NetNS = specgen.Namespace{NSMode: specgen.Bridge}
	s.Networks = map[string]nettypes.PerNetworkOptions{
		b.Internal.Name: {InterfaceName: b.Internal.InterfaceName, StaticIPs: []net.IP{ip(c.Address)}},
	}
	s.Hostname = c.Hostname
	s.BaseHostsFile = "none"
	for _, h := range c.Hosts {
		s.HostAdd = append(s.HostAdd, h.Name+":"+h.Addr.String())
	}
	for _, addr := range c.DNS {
		s.DNSServers = append(s.DNSServers, ip(addr))
	}
}

func addMount(s *specgen.SpecGenerator, m blueprint.Mount, h host) {
	switch m.Type {
	case blueprint.MountVolume:
		s.Volumes = append(s.Volumes, &specgen.NamedVolume{Name: m.Source, Dest: m.Target, Options: []string{"nosuid", "nodev"}})
	case blueprint.MountBind:
		options := []string{"bind", "nosuid", "nodev", "rw"}
		if m.ReadOnly {
			options[3] = "ro"
		}
		if h.selinux {
			options = append(options, "z")
		}
		s.Mounts = append(s.Mounts, specs.Mount{Type: "bind", Source: h.path(m.Source), Destination: m.Target, Options: options})
	}
}

// path resolves a source of the blueprint.
func (h host) path(source string) string {
	if filepath.IsAbs(source) {
		return source
	}
	return filepath.Join(h.runtimeDir, source)
}

// resources are the limits of one container as far as the host can enforce them.
// Without the pids controller the limit is set to none, since Podman's default
// makes crun refuse the container.
func resources(c blueprint.Container, h host) *specs.LinuxResources {
	r := noLimits()
	if h.controller["pids"] && !c.Runsc {
		r.Pids.Limit = c.PidsLimit
	}
	return r
}

func ip(addr netip.Addr) net.IP { return net.IP(addr.AsSlice()) }

// noLimits switches Podman's default limit of tasks off, which crun refuses to
// set where the controller is not delegated.
func noLimits() *specs.LinuxResources {
	return &specs.LinuxResources{Pids: &specs.LinuxPids{}}
}
