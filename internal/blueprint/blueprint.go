// Package blueprint describes a bottle as Podman objects, as data. The live
// bottle (package pod) and the systemd units (package quadlet) are both made
// from it and know nothing more, so the two cannot drift apart.
package blueprint

import (
	"io/fs"
	"net/netip"
	"time"

	"github.com/podbottle/podbottle/internal/resolve"
	"github.com/podbottle/podbottle/internal/secret"
)

// Service names a member of the pod. It is also the name of its directory.
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
	LabelSlug      = "io.podbottle.slug"
	LabelService   = "io.podbottle.service"
	LabelAgent     = "io.podbottle.agent"
	LabelBottle    = "io.podbottle.bottle"
	LabelFirewall  = "io.podbottle.firewall"   // pipelock | builtin
	LabelRuntime   = "io.podbottle.runtime"    // runsc | crun; on the agent
	LabelImageKind = "io.podbottle.image.kind" // sidecar | git-gate | agent | cwd
)

// Paths in the sidecars.
const (
	ConfigDir  = "/etc/podbottle"         // read-only
	SecretsDir = "/run/podbottle/secrets" // read-only
	RunDir     = "/run/podbottle/run"     // writable: ready markers
	StateDir   = "/var/lib/podbottle"     // writable: audit, mirrors, queue
	SidecarBin = "/podbottle-sidecar"
)

// Paths in the agent.
const (
	Handover    = "/.podbottle/podbottle-sidecar" // the sidecars' program, read-only
	HandoverDir = "/run/podbottle"                // read-only: env, home/
	CABundle    = "/run/podbottle/ca-bundle.crt"
)

// Users of the containers, as uid:gid. A sidecar's group 0 is the host user's own:
// by it, and by nothing else, the sidecar reads its secrets.
const (
	AgentUser   = "1000:1000"
	SidecarUser = "65532:0"
	// OperatorUser is the host user's own uid, of git-gate when it uses the host's ssh
	// agent: OpenSSH's answers no other. It has no capability in its user namespace.
	OperatorUser = "0:0"
)

// Bottle is one pod with its networks, files and containers.
type Bottle struct {
	Slug      string
	Labels    map[string]string // on every object
	PodName   string            // bot-bottle-<slug>-pod
	InfraName string            // bot-bottle-<slug>-infra
	Internal  Network           // the agent's only network
	Uplink    Network           // of the pod's infra container only
	Hosts     []Host            // names that the sidecars know, beside Podman's own
	Sysctls   map[string]string // of the pod's network
	Volumes   []string          // named volumes; Podman fills them from the image on first use
	// Files are written below the bottle's runtime directory before the containers are created.
	Files []File
	// Dirs are directories that a sidecar writes to: relative to the runtime directory, or absolute.
	Dirs  []string
	Slice Slice

	plan    *resolve.Plan
	options Options
}

// Network is a bridge without DNS and without IPv6; Podman chooses its subnet.
type Network struct {
	Name          string
	InterfaceName string // in the container: int0, up0
	Internal      bool
	Options       map[string]string
}

// File is a file below the bottle's runtime directory, which is 0700 on tmpfs.
type File struct {
	Path    string // <service>/<config|secrets|handover>/<name>
	Mode    fs.FileMode
	Content secret.Value
}

// Slice holds the limits that the kernel enforces on the agent through its
// cgroup parent, since runsc runs without cgroups of its own. Zero is no limit.
type Slice struct {
	Name      string // a direct child of podbottle.slice
	MemoryMax int64  // bytes; swap is off
	TasksMax  int64
	CPUQuota  time.Duration // CPU time a second of wall time
}

// Addresses of the pod and the agent; known once the internal network exists.
type Addresses struct {
	Pod   netip.Addr // the second address of the subnet
	Agent netip.Addr // the third
}

// Container is one member of the pod. All capabilities are dropped and
// no-new-privileges is set on every container, so neither is a field.
type Container struct {
	Service    Service
	Name       string
	Hostname   string // only with OwnNetwork
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
	Hosts      []Host
	DNS        []netip.Addr
	Runsc      bool
	Init       bool // catatonit as PID 1
	Terminal   bool
	Stdin      bool
	PidsLimit  int64
	NProc      int64  // RLIMIT_NPROC (getrlimit(2)); 0 for Podman's own
	Slice      string // cgroup parent; empty for Podman's own
	StopTime   time.Duration
	// Ready is the marker, relative to the runtime directory, that appears when the
	// container does its work; empty when there is nothing to wait for.
	Ready string
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
)

// Mount puts something into a container.
type Mount struct {
	Type     MountType
	Source   string
	Target   string
	ReadOnly bool
}
