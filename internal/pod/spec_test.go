package pod

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	nettypes "github.com/containers/common/libnetwork/types"
	"github.com/containers/podman/v5/libpod/define"
	"github.com/containers/podman/v5/pkg/specgen"

	"github.com/podbottle/podbottle/internal/blueprint"
)

const (
	wrapper = "/home/dev/.local/share/podbottle/runsc"
	profile = "/home/dev/.local/share/podbottle/seccomp.json"
)

func testHost() host {
	return host{
		runtimeDir: "/run/user/1000/podbottle/demo-abc12", runtime: wrapper, seccomp: profile, slices: true,
		controller: map[string]bool{"memory": true, "pids": true, "cpu": true},
	}
}

func testBottle() *blueprint.Bottle {
	return &blueprint.Bottle{
		PodName:  "bot-bottle-demo-abc12-pod",
		Internal: blueprint.Network{Name: "bot-bottle-demo-abc12-internal", InterfaceName: "int0", Internal: true},
		Uplink:   blueprint.Network{Name: "bot-bottle-demo-abc12-uplink", InterfaceName: "up0", Options: map[string]string{"isolate": "strict"}},
	}
}

func agentContainer() blueprint.Container {
	return blueprint.Container{
		Service: blueprint.Agent, Name: "bot-bottle-demo-abc12", Image: "agent", User: blueprint.AgentUser,
		OwnNetwork: true, Address: netip.MustParseAddr("10.89.0.3"), DNS: []netip.Addr{netip.MustParseAddr("10.89.0.2")},
		Hosts: []blueprint.Host{{Name: "egress", Addr: netip.MustParseAddr("10.89.0.2")}},
		Runsc: true, Init: true, PidsLimit: 100, Slice: "podbottle-demo_abc12.slice",
		Mounts: []blueprint.Mount{
			{Type: blueprint.MountBind, Source: "agent/handover", Target: "/run/podbottle", ReadOnly: true},
			{Type: blueprint.MountVolume, Source: "bot-bottle-demo-abc12-home", Target: "/home/node"},
		},
	}
}

func TestAgentSpecIsAloneOnTheInternalNetwork(t *testing.T) {
	s := containerSpec(testBottle(), agentContainer(), testHost())
	if s.NetNS.NSMode != specgen.Bridge {
		t.Errorf("network namespace is %q; left unset the agent would join the pod's", s.NetNS.NSMode)
	}
	if len(s.Networks) != 1 || s.Networks["bot-bottle-demo-abc12-internal"].InterfaceName != "int0" {
		t.Errorf("networks are %v", s.Networks)
	}
	if len(s.DNSServers) != 1 || !s.DNSServers[0].Equal(net.IPv4(10, 89, 0, 2)) {
		t.Errorf("resolvers are %v; unset, the host's would be listed", s.DNSServers)
	}
	if s.BaseHostsFile != "none" {
		t.Errorf("base hosts file is %q; the host's names are not the agent's business", s.BaseHostsFile)
	}
	if s.OCIRuntime != wrapper {
		t.Errorf("runtime is %q", s.OCIRuntime)
	}
	if s.CgroupParent != "podbottle-demo_abc12.slice" {
		t.Errorf("cgroup parent is %q", s.CgroupParent)
	}
}

func TestEverySpecIsHardened(t *testing.T) {
	for _, c := range []blueprint.Container{agentContainer(), {Service: blueprint.Egress, ReadOnly: true, PidsLimit: 5}} {
		s := containerSpec(testBottle(), c, testHost())
		if !slices.Equal(s.CapDrop, []string{"all"}) || len(s.CapAdd) > 0 {
			t.Errorf("%s: capabilities -%v +%v", c.Service, s.CapDrop, s.CapAdd)
		}
		if s.NoNewPrivileges == nil || !*s.NoNewPrivileges {
			t.Errorf("%s: no-new-privileges is not set", c.Service)
		}
		if s.HTTPProxy == nil || *s.HTTPProxy || s.EnvHost == nil || *s.EnvHost {
			t.Errorf("%s: the host's environment reaches it", c.Service)
		}
		if s.SeccompProfilePath != profile {
			t.Errorf("%s: the seccomp profile is %q", c.Service, s.SeccompProfilePath)
		}
		if s.HealthConfig == nil || !slices.Equal(s.HealthConfig.Test, []string{"NONE"}) {
			t.Errorf("%s: an image's health check would run", c.Service)
		}
		if *s.ReadOnlyFilesystem != c.ReadOnly {
			t.Errorf("%s: read-only root is %t", c.Service, *s.ReadOnlyFilesystem)
		}
	}
}

func TestResourcesFollowTheDelegatedControllers(t *testing.T) {
	c := blueprint.Container{PidsLimit: 5}
	if r := resources(c, testHost()); r.Pids.Limit != 5 {
		t.Errorf("with all controllers: %+v", r)
	}
	if r := resources(c, host{}); r.Pids.Limit != 0 {
		t.Errorf("without controllers: %+v; crun would refuse the container", r)
	}
	c.Runsc = true
	if r := resources(c, testHost()); r.Pids.Limit != 0 {
		t.Errorf("under runsc: %+v; its limits are the slice's", r)
	}
}

func inspected() *define.InspectContainerData {
	return &define.InspectContainerData{
		OCIRuntime: wrapper,
		Config:     &define.InspectContainerConfig{User: blueprint.AgentUser},
		HostConfig: &define.InspectContainerHostConfig{
			NetworkMode: "bridge", SecurityOpt: []string{"no-new-privileges", "seccomp=" + profile}, CgroupParent: "podbottle-demo_abc12.slice",
		},
		NetworkSettings: &define.InspectNetworkSettings{Networks: map[string]*define.InspectAdditionalNetwork{"bot-bottle-demo-abc12-internal": {}}},
		Mounts: []define.InspectMount{
			{Source: "/run/user/1000/podbottle/demo-abc12/agent/handover", Destination: "/run/podbottle"},
			{Source: "/var/lib/volumes/x", Destination: "/home/node", RW: true},
		},
	}
}

func TestDifferences(t *testing.T) {
	tests := []struct {
		name   string
		change func(*define.InspectContainerData)
		want   string // part of the one difference; empty for none
	}{
		{"as asked for", func(*define.InspectContainerData) {}, ""},
		{"runtime ignored", func(d *define.InspectContainerData) { d.OCIRuntime = "crun" }, "instead of runsc"},
		{"capability kept", func(d *define.InspectContainerData) { d.EffectiveCaps = []string{"CAP_NET_RAW"} }, "CAP_NET_RAW"},
		{"bounding set kept", func(d *define.InspectContainerData) { d.BoundingCaps = []string{"CAP_CHOWN"} }, "CAP_CHOWN"},
		{"new privileges", func(d *define.InspectContainerData) { d.HostConfig.SecurityOpt = d.HostConfig.SecurityOpt[1:] }, "no-new-privileges"},
		{"seccomp off", func(d *define.InspectContainerData) {
			d.HostConfig.SecurityOpt[1] = "seccomp=unconfined"
		}, "seccomp=unconfined"},
		{"Podman's own seccomp profile", func(d *define.InspectContainerData) {
			d.HostConfig.SecurityOpt = d.HostConfig.SecurityOpt[:1]
		}, "without seccomp=" + profile},
		{"privileged", func(d *define.InspectContainerData) { d.HostConfig.Privileged = true }, "privileged"},
		{"user", func(d *define.InspectContainerData) { d.Config.User = "0:0" }, "its user"},
		{"pasta", func(d *define.InspectContainerData) { d.HostConfig.NetworkMode = "pasta" }, "pasta"},
		{"second network", func(d *define.InspectContainerData) { d.NetworkSettings.Networks["podman"] = nil }, "network"},
		{"extra mount", func(d *define.InspectContainerData) {
			d.Mounts = append(d.Mounts, define.InspectMount{Source: "/home/dev", Destination: "/host"})
		}, "/host"},
		{"missing mount", func(d *define.InspectContainerData) { d.Mounts = d.Mounts[1:] }, "did not mount /run/podbottle"},
		{"writable mount", func(d *define.InspectContainerData) { d.Mounts[0].RW = true }, "writable"},
		{"other source", func(d *define.InspectContainerData) { d.Mounts[0].Source = "/etc" }, "/etc"},
		{"cgroup", func(d *define.InspectContainerData) { d.HostConfig.CgroupParent = "user.slice" }, "user.slice"},
		{"device", func(d *define.InspectContainerData) { d.HostConfig.Devices = []define.InspectDevice{{}} }, "devices"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := inspected()
			test.change(got)
			list := differences(testBottle(), agentContainer(), testHost(), got)
			if test.want == "" {
				if len(list) > 0 {
					t.Fatalf("differences: %q", list)
				}
				return
			}
			if len(list) == 0 || !strings.Contains(strings.Join(list, "; "), test.want) {
				t.Fatalf("differences are %q; want one with %q", list, test.want)
			}
		})
	}
}

func subnetwork(subnet string) nettypes.Network {
	_, parsed, _ := net.ParseCIDR(subnet)
	return nettypes.Network{
		Name: "n", Internal: true,
		Subnets: []nettypes.Subnet{{Subnet: nettypes.IPNet{IPNet: *parsed}}},
	}
}

func TestSameNetwork(t *testing.T) {
	want := blueprint.Network{Name: "n", Internal: true, Options: map[string]string{"isolate": "strict"}}
	good := subnetwork("10.89.7.0/24")
	good.Options = map[string]string{"isolate": "strict"}
	if err := sameNetwork(want, good); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*nettypes.Network){
		"not internal": func(n *nettypes.Network) { n.Internal = false },
		"DNS":          func(n *nettypes.Network) { n.DNSEnabled = true },
		"IPv6":         func(n *nettypes.Network) { n.IPv6Enabled = true },
		"no subnet":    func(n *nettypes.Network) { n.Subnets = nil },
		"isolation":    func(n *nettypes.Network) { n.Options = nil },
	} {
		bad := good
		change(&bad)
		if sameNetwork(want, bad) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestServiceEnv(t *testing.T) {
	got := serviceEnv([]string{"PATH=/bin", "INVOCATION_ID=x", "CONTAINER_HOST=ssh://a", "HOME=/h", "GITHUB_TOKEN=t", "XDG_RUNTIME_DIR=/r"})
	if !slices.Equal(got, []string{"PATH=/bin", "HOME=/h", "XDG_RUNTIME_DIR=/r"}) {
		t.Errorf("environment of the private service: %v", got)
	}
}
