// Package blueprint describes a bottle as Podman objects, as data. The live
// bottle (package pod) and the systemd units (package quadlet) are both made
// from it and know nothing more, so the two cannot drift apart.
package blueprint

import (
	"io/fs"
	"net/netip"
	"time"

	"github.com/podbottle/podbottle/internal/secret"
)

// Service names the members of a pod. They are also the names of the per-service directories.
type Service string

// The services. Egress, Pipelock and Agent are in every bottle.
const (
	Egress    Service = "egress"
	Pipelock  Service = "pipelock"
	GitGate   Service = "git-gate"
	Supervise Service = "supervise"
	Agent     Service = "agent"
)

// Labels that podbottle puts on every object, to find them again.
const (
	LabelSlug     = "io.podbottle.slug"
	LabelService  = "io.podbottle.service"
	LabelAgent    = "io.podbottle.agent"
	LabelBottle   = "io.podbottle.bottle"
	LabelFirewall = "io.podbottle.firewall" // engine and version
)

// Paths in the sidecars.
const (
	ConfigDir  = "/etc/podbottle"         // read-only
	SecretsDir = "/run/podbottle/secrets" // read-only
	RunDir     = "/run/podbottle/run"     // writable: ready markers
	StateDir   = "/var/lib/podbottle"     // writable: audit, mirrors, queue
)

// Paths in the agent.
const (
	SidecarMount = "/.podbottle"        // the sidecar image, read-only; holds podbottle-sidecar
	HandoverDir  = "/run/podbottle"     // read-only: env, home/, ca-bundle.crt
	ReadyFile    = "ready"              // in RunDir: the service answers
	AgentReady   = "agent-ready"        // in egress's RunDir: the agent reached egress
	AgentUser    = "1000:1000"          // node
	SidecarUser  = "65532:65532"        // nonroot
	SidecarBin   = "/podbottle-sidecar" // in the sidecar image
	CABundle     = "/run/podbottle/ca-bundle.crt"
)

// Bottle is one pod with its networks, files and containers.
type Bottle struct {
	Slug     string
	Labels   map[string]string // on every object
	PodName  string            // bot-bottle-<slug>-pod
	Internal Network           // the agent's only network
	Uplink   Network           // for the pod's infra container only
	Volumes  []Volume
	// Files are written below the bottle's runtime directory before the containers are created.
	Files []File
	// Dirs are created empty there, writable by the sidecar that mounts them.
	Dirs []Dir
	// Slice is the cgroup parent of the agent, with the agent's limits.
	Slice Slice
}

// Network is a bridge without DNS and without IPv6; Podman chooses its subnet.
type Network struct {
	Name          string
	InterfaceName string // in the container: int0, up0
	Internal      bool
	Options       map[string]string // isolate=strict on the uplink
}

// Volume is a named volume; Podman fills it from the image on first use.
type Volume struct{ Name string }

// File is a file below the bottle's runtime directory, which is 0700 on tmpfs.
type File struct {
	Service Service
	Path    string // relative to the service's directory, such as secrets/ca.key
	Mode    fs.FileMode
	Content secret.Value
	// Secret is false for configuration, which may be shown and kept on disk.
	Secret bool
}

// Dir is an empty directory below the bottle's runtime directory.
type Dir struct {
	Service Service
	Path    string
}

// Slice holds limits that the kernel enforces on the agent through its cgroup
// parent, since runsc runs without cgroups of its own. Zero values set no limit.
type Slice struct {
	Name      string // podbottle-<slug>.slice with the dashes that systemd would read as nesting replaced
	MemoryMax int64  // bytes; swap is off
	TasksMax  int64
	CPUQuota  time.Duration // per second of wall time
}

// Addresses are known once the internal network exists.
type Addresses struct {
	Pod   netip.Addr // the second address of the subnet
	Agent netip.Addr // the third
}

// Container is one member of the pod.
type Container struct {
	Service    Service
	Name       string
	Hostname   string
	Image      string
	Entrypoint []string
	Command    []string
	Env        map[string]string // no secret
	User       string            // uid:gid
	WorkDir    string
	Labels     map[string]string
	Mounts     []Mount
	Tmpfs      []string // mount points
	ReadOnly   bool     // root filesystem
	// OwnNetwork gives the container its own network namespace on the internal
	// network with Address; otherwise it shares the pod's.
	OwnNetwork bool
	Address    netip.Addr
	Hosts      []Host       // /etc/hosts entries
	DNS        []netip.Addr // only with OwnNetwork
	Runsc      bool
	Init       bool // catatonit as PID 1
	Terminal   bool
	Stdin      bool
	PidsLimit  int64
	Memory     int64 // bytes; 0 for none
	StopTime   time.Duration
	// ReadyFile is the host path, below the runtime directory, that appears when the
	// service answers; empty when there is nothing to wait for.
	ReadyFile string
}

// Host is one entry of /etc/hosts.
type Host struct {
	Name string
	Addr netip.Addr
}

// MountType is where a mount comes from.
type MountType string

// The mount types.
const (
	MountBind   MountType = "bind"   // Source is relative to the bottle's runtime directory, or absolute
	MountVolume MountType = "volume" // Source is a volume's name
	MountImage  MountType = "image"  // Source is an image's name; always read-only
)

// Mount puts something into a container.
type Mount struct {
	Type     MountType
	Source   string
	Target   string
	ReadOnly bool
}
