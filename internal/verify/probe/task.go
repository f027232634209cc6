package probe

import (
	"fmt"
	"net/netip"
	"sync/atomic"
)

// Task tells the probes where things are. It is handed over on standard input,
// since it holds the secrets that are looked for.
type Task struct {
	User   string         `json:"user"`   // agent | root: whom the probes run as
	Egress netip.AddrPort `json:"egress"` // the one way out
	Ports  []uint16       `json:"ports"`  // that may answer on the pod's address
	// Listening are all ports on which anything in the pod listens, on any address.
	Listening []uint16     `json:"listening"`
	Subnet    netip.Prefix `json:"subnet"` // of the internal network
	Gateway   netip.Addr   `json:"gateway"`
	Agent     netip.Addr   `json:"agent"`
	// Outside are addresses beyond the internal network that the pod can reach: its
	// own on the uplink, and the uplink's gateway.
	Outside []netip.Addr `json:"outside"`
	// Others are the addresses of other bottles and their gateways; empty for no bottle.
	Others []netip.Addr `json:"others,omitempty"`
	// Host are the addresses of this machine.
	Host []netip.Addr `json:"host"`
	// Server is verify's own; nil where the bottle has no route to it.
	Server *Server `json:"server,omitempty"`
	// Roots are the CA certificates that the agent trusts, PEM.
	Roots []byte `json:"roots"`
	// Secrets must be found nowhere.
	Secrets []string `json:"secrets"`
	// Variable is a NAME=VALUE of the agent's environment that is no secret; empty for none.
	Variable string `json:"variable,omitempty"`
	// Namespaces are the host's, by type: net → net:[4026531840].
	Namespaces map[string]string `json:"namespaces"`
	// Filters are the seccomp filters that the container inherits: not its own.
	Filters int `json:"filters"`
	// Keyring holds a key of this machine's user; nil where there are no keyrings.
	Keyring *Keyring `json:"keyring,omitempty"`
	// Mark begins every mark of this run.
	Mark string `json:"mark"`
}

// Server is where verify's servers listen on the host.
type Server struct {
	Allowed  string     `json:"allowed"`  // name with a route
	Guarded  string     `json:"guarded"`  // name with a route, which resolves to the pod's own loopback
	Unlisted string     `json:"unlisted"` // name without a route
	Addr     netip.Addr `json:"addr"`     // what Allowed and Unlisted resolve to
	Port     uint16     `json:"port"`     // HTTPS, the route's
	Other    uint16     `json:"other"`    // TCP, not the route's
	DNS      uint16     `json:"dns"`      // UDP
	// GuardedPort is a port on the pod's loopback that answers there.
	GuardedPort uint16 `json:"guarded_port"`
	Loopback    uint16 `json:"loopback"` // TCP on 127.0.0.1 alone
}

// bottle is the task with what probes share.
type bottle struct {
	task  Task
	count atomic.Int64
}

func newBottle(task Task) *bottle { return &bottle{task: task} }

// mark returns a new string that a server of verify's recognises.
func (b *bottle) mark() string {
	return fmt.Sprintf("%s-%s-%d", b.task.Mark, b.task.User, b.count.Add(1))
}
