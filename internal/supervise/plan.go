// Package supervise is how a stuck agent asks a human for more: the queue of
// proposals, what each would change, and the operator's decision on it. The MCP
// server that the agent talks to is in the package supervise/mcpserver, the
// terminal interface in supervise/console, and what tells an operator who does not look
// in supervise/notify.
package supervise

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// Port is where the MCP server listens on the pod's internal address.
const Port = 9100

// ServerName is the host name and the MCP server's name that the agent knows.
const ServerName = "supervise"

// URL is where the agent reaches the MCP server; its NO_PROXY holds the name.
var URL = fmt.Sprintf("http://%s:%d/", ServerName, Port)

// EgressConfigDir is where the supervise sidecar sees egress's configuration,
// read-only, to answer list-egress-routes.
const EgressConfigDir = "/etc/podbottle-egress"

// Plan is what resolution decides about supervise; a bottle without it has a nil *Plan.
type Plan struct {
	Slug string `json:"slug"`
	// QueueDir is ~/.bot-bottle/queue/<slug>; CreateQueue makes it.
	QueueDir string `json:"queue_dir"`
	// CurrentConfigDir is <state>/<slug>/supervise/current-config; its Dockerfile is
	// what a capability-block proposal changes.
	CurrentConfigDir string `json:"current_config_dir"`
	// OnApproval says what a proposal waits for; the zero value denies at once.
	OnApproval OnApproval `json:"on_approval"`
}

// Args is the command of the supervise sidecar.
func (p Plan) Args(listen netip.Addr) []string {
	return []string{
		"supervise", "--slug", p.Slug,
		"--listen", netip.AddrPortFrom(listen, Port).String(),
		"--on-approval", p.OnApproval.String(),
	}
}

// ContainerfileName is the current Containerfile in the sidecar's configuration.
const ContainerfileName = "Containerfile"

// ConfigFiles are the sidecar's configuration: the current Containerfile, if there is one.
func (p Plan) ConfigFiles() (map[string][]byte, error) {
	data, err := os.ReadFile(p.ContainerfilePath())
	if errors.Is(err, fs.ErrNotExist) {
		return map[string][]byte{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("current Containerfile: %w", err)
	}
	return map[string][]byte{ContainerfileName: data}, nil
}

// ContainerfilePath is the host's copy of the file that capability-block changes.
func (p Plan) ContainerfilePath() string { return filepath.Join(p.CurrentConfigDir, "Dockerfile") }

// OnApproval is how long a proposal waits for an operator. Zero denies at once,
// as unattended bottles do by default. Its text form is deny or wait=DURATION.
type OnApproval time.Duration

// DefaultWait is how long a proposal of an attended bottle waits.
const DefaultWait = OnApproval(time.Hour)

// maxWait bounds how long a proposal may wait; a longer one outlives any session.
const maxWait = 7 * 24 * time.Hour

// ParseOnApproval reads deny or wait=DURATION (1s to 168h).
func ParseOnApproval(s string) (OnApproval, error) {
	if s == "deny" {
		return 0, nil
	}
	const prefix = "wait="
	if len(s) > len(prefix) && s[:len(prefix)] == prefix {
		d, err := time.ParseDuration(s[len(prefix):])
		if err == nil && d >= time.Second && d <= maxWait {
			return OnApproval(d), nil
		}
	}
	return 0, fmt.Errorf("on-approval %q is neither deny nor wait=DURATION with a duration from 1s to %v", s, maxWait)
}

// String implements fmt.Stringer.
func (o OnApproval) String() string {
	if o == 0 {
		return "deny"
	}
	return "wait=" + time.Duration(o).String()
}

// Set implements pflag.Value and flag.Value.
func (o *OnApproval) Set(s string) error {
	parsed, err := ParseOnApproval(s)
	if err == nil {
		*o = parsed
	}
	return err
}

// Type implements pflag.Value.
func (*OnApproval) Type() string { return "deny|wait=DURATION" }

// MarshalText implements encoding.TextMarshaler.
func (o OnApproval) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (o *OnApproval) UnmarshalText(text []byte) error { return o.Set(string(text)) }
