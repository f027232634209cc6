package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	nettypes "github.com/containers/common/libnetwork/types"
	"github.com/containers/podman/v5/pkg/bindings"
	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/network"
	"github.com/containers/podman/v5/pkg/bindings/pods"
	"github.com/containers/podman/v5/pkg/bindings/volumes"
	"github.com/containers/podman/v5/pkg/domain/entities/types"
	"github.com/containers/podman/v5/pkg/specgen"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sync/errgroup"
)

const (
	barePod      = "bench-pod"
	bareHome     = "bench-home"
	bareInternal = "bench-internal"
	bareUplink   = "bench-uplink"
	agentImage   = "localhost/podbottle-test-agent:latest"
)

// bare creates and starts the objects of a bottle with two sidecars and nothing
// else: no plan, no files, no proofs, no waiting for readiness.
func bare() error {
	ctx, err := bindings.NewConnection(context.Background(), "unix://"+os.Getenv("XDG_RUNTIME_DIR")+"/podman/podman.sock")
	if err != nil {
		return err
	}
	image, err := sidecarImage()
	if err != nil {
		return err
	}
	var agents context.Context
	var podIP, agentIP net.IP
	prepare := errgroup.Group{}
	prepare.Go(func() (err error) {
		agents, err = secondService()
		return err
	})
	prepare.Go(func() (err error) {
		if _, err := volumes.Create(ctx, types.VolumeCreateOptions{Name: bareHome}, nil); err != nil {
			return err
		}
		podIP, agentIP, err = barePodWithNetworks(ctx)
		return err
	})
	if err := prepare.Wait(); err != nil {
		return err
	}
	all := errgroup.Group{}
	for _, name := range []string{"bench-egress", "bench-firewall"} {
		all.Go(func() error {
			s := hardened(image, name)
			s.Entrypoint = []string{"/podbottle-sidecar"}
			s.Command = []string{"version"}
			return createAndStart(ctx, ctx, s)
		})
	}
	all.Go(func() error {
		s := hardened(agentImage, "bench-agent")
		s.Command = []string{"sleep", "60"}
		s.Volumes = []*specgen.NamedVolume{{Name: bareHome, Dest: "/home/node"}}
		s.NetNS = specgen.Namespace{NSMode: specgen.Bridge}
		s.Networks = map[string]nettypes.PerNetworkOptions{bareInternal: {InterfaceName: "int0", StaticIPs: []net.IP{agentIP}}}
		s.DNSServers = []net.IP{podIP}
		return createAndStart(agents, ctx, s)
	})
	return all.Wait()
}

func barePodWithNetworks(ctx context.Context) (podIP, agentIP net.IP, err error) {
	internal, err := network.Create(ctx, &nettypes.Network{Name: bareInternal, Driver: "bridge", Internal: true})
	if err != nil {
		return nil, nil, err
	}
	if _, err := network.Create(ctx, &nettypes.Network{Name: bareUplink, Driver: "bridge", Options: map[string]string{"isolate": "strict"}}); err != nil {
		return nil, nil, err
	}
	base := internal.Subnets[0].Subnet.IP.To4()
	podIP, agentIP = net.IPv4(base[0], base[1], base[2], base[3]+2), net.IPv4(base[0], base[1], base[2], base[3]+3)
	_, err = pods.CreatePodFromSpec(ctx, &types.PodSpec{PodSpecGen: specgen.PodSpecGenerator{
		PodBasicConfig: specgen.PodBasicConfig{Name: barePod, SharedNamespaces: []string{"net"}, RestartPolicy: "no"},
		PodNetworkConfig: specgen.PodNetworkConfig{NetNS: specgen.Namespace{NSMode: specgen.Bridge}, Networks: map[string]nettypes.PerNetworkOptions{
			bareInternal: {InterfaceName: "int0", StaticIPs: []net.IP{podIP}}, bareUplink: {InterfaceName: "up0"},
		}},
	}})
	return podIP, agentIP, err
}

func hardened(image, name string) *specgen.SpecGenerator {
	yes := true
	s := specgen.NewSpecGenerator(image, false)
	s.Name, s.Pod = name, barePod
	s.CapDrop, s.NoNewPrivileges = []string{"all"}, &yes
	s.User = "1000:1000"
	s.IpcNS, s.UtsNS = specgen.Namespace{NSMode: specgen.Private}, specgen.Namespace{NSMode: specgen.Private}
	s.ResourceLimits = &specs.LinuxResources{Pids: &specs.LinuxPids{}}
	return s
}

func createAndStart(create, start context.Context, s *specgen.SpecGenerator) error {
	created, err := containers.CreateWithSpec(create, s, nil)
	if err != nil {
		return err
	}
	return containers.Start(start, created.ID, nil)
}

// secondService is an API service whose runtime is runsc.
func secondService() (context.Context, error) {
	wrapper, err := wrapperPath()
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "bench.sock")
	cmd := exec.Command("podman", "--runtime="+wrapper, "system", "service", "--time=2", "unix://"+socket) // #nosec G204 G702 -- a fixed command
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for range 1000 {
		if conn, err := net.Dial("unix", socket); err == nil { // #nosec G704 -- our own socket
			_ = conn.Close()
			return bindings.NewConnection(context.Background(), "unix://"+socket)
		}
		time.Sleep(2 * time.Millisecond)
	}
	return nil, fmt.Errorf("%s does not answer", socket)
}

// wrapperPath is the runtime wrapper that podbottle's first start has written.
func wrapperPath() (string, error) {
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".local", "share", "podbottle", "runsc"), err
}

// sidecarImage is the image that podbottle's first start has made.
func sidecarImage() (string, error) {
	out, err := exec.Command("podman", "images", "--filter", "label=io.podbottle.image.kind=sidecar", "--format", "{{.Repository}}:{{.Tag}}").Output()
	if err != nil {
		return "", err
	}
	name, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return name, nil
}

func removeBare() error {
	if _, err := timed(os.Environ(), "podman", "pod", "rm", "--force", "--time=0", barePod); err != nil {
		return err
	}
	if _, err := timed(os.Environ(), "podman", "network", "rm", bareInternal, bareUplink); err != nil {
		return err
	}
	_, err := timed(os.Environ(), "podman", "volume", "rm", bareHome)
	return err
}
