package bottle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/podbottle/podbottle/internal/config"
	"github.com/podbottle/podbottle/internal/pod"
	"github.com/podbottle/podbottle/internal/quadlet"
	"github.com/podbottle/podbottle/internal/resolve"
	"github.com/podbottle/podbottle/internal/state"
	"github.com/podbottle/podbottle/internal/systemd"
)

// UnitRequest is a bottle for systemd, as the user asked for it. It is kept
// beside the bottle's state, so that it can be written again from the manifest
// of a later day.
type UnitRequest struct {
	Spec          resolve.Spec   `json:"spec"` // Identity is the bottle's name
	Runtime       string         `json:"runtime,omitempty"`
	Firewall      FirewallChoice `json:"firewall"`
	OnApproval    string         `json:"on_approval,omitempty"`
	Limits        config.Limits  `json:"limits"`
	Term          string         `json:"term,omitempty"`
	RemoteControl bool           `json:"remote_control,omitempty"`
	Headless      bool           `json:"headless,omitempty"`
	// Resume continues the agent's last conversation whenever it is started: after an
	// approved capability change, until the bottle is installed anew.
	Resume bool `json:"resume,omitempty"`
	// Prompt is what a headless agent is told each time it is started.
	Prompt     string `json:"prompt,omitempty"`
	OnCalendar string `json:"on_calendar,omitempty"`
	// Subnet is the internal network's; the zero value lets podbottle choose.
	Subnet netip.Prefix `json:"subnet,omitzero"`
	// Overrides are the variables of hostVariables that were set when the bottle was installed.
	Overrides map[string]string `json:"overrides,omitempty"`
}

// hostVariables change what is made of a manifest. A bottle of systemd keeps those of
// its installation, so that it is the same one in every shell.
var hostVariables = []string{
	"BOT_BOTTLE_IMAGE", "BOT_BOTTLE_DERIVED_IMAGE", "BOT_BOTTLE_CONTAINER", "BOT_BOTTLE_CONTAINER_HOME", extraCAVariable, "SSH_AUTH_SOCK",
}

// overrides are those of the caller.
func (l *Launcher) overrides() map[string]string {
	set := map[string]string{}
	for _, name := range hostVariables {
		if value, ok := l.Lookup(name); ok {
			set[name] = value
		}
	}
	return set
}

// as is the launcher with the variables of a bottle's installation.
func (l *Launcher) as(r UnitRequest) *Launcher {
	own := *l
	own.Lookup = func(name string) (string, bool) {
		if slices.Contains(hostVariables, name) {
			value, ok := r.Overrides[name]
			return value, ok
		}
		return l.Lookup(name)
	}
	return &own
}

// request is the same as a live bottle's.
func (r UnitRequest) request() Request {
	return Request{
		Spec: r.Spec, Headless: r.Headless, Detach: !r.Headless, Resume: r.Resume, RemoteControl: r.RemoteControl,
		Runtime: r.Runtime, Firewall: r.Firewall, OnApproval: r.OnApproval, Limits: r.Limits, Term: r.Term,
	}
}

// installed is what is kept of an installed bottle.
type installed struct {
	Request UnitRequest `json:"request"`
	Units   []string    `json:"units"` // names of the files
	// Containerfile is its name in the build context; empty when no unit builds the image.
	Containerfile string `json:"containerfile,omitempty"`
}

// ErrNotInstalled says that systemd has no such bottle.
var ErrNotInstalled = errors.New("is not installed as units; podbottle quadlet list shows those that are")

// unitTree is where the files of a bottle's units lie.
type unitTree struct{ dir string }

func (l *Launcher) unitTree(name string) (unitTree, error) {
	tree, err := state.Of(l.Root, name)
	if err != nil {
		return unitTree{}, err
	}
	return unitTree{filepath.Join(tree.Dir(), "units")}, nil
}

func (t unitTree) record() string   { return filepath.Join(t.dir, "request.json") }
func (t unitTree) snapshot() string { return filepath.Join(t.dir, "snapshot.json") }
func (t unitTree) prompt() string   { return filepath.Join(t.dir, "prompt.txt") }
func (t unitTree) build() string    { return filepath.Join(t.dir, "build") }
func (t unitTree) answer() string   { return filepath.Join(filepath.Dir(t.dir), "answer.txt") }

// OwnedBySystemd tells whether a bottle is installed as units.
func (l *Launcher) OwnedBySystemd(name string) bool {
	tree, err := l.unitTree(name)
	if err != nil {
		return false
	}
	_, err = os.Stat(tree.record())
	return err == nil
}

// installedUnits reads what is kept of an installed bottle.
func (l *Launcher) installedUnits(name string) (installed, error) {
	var record installed
	tree, err := l.unitTree(name)
	if err != nil {
		return record, err
	}
	data, err := os.ReadFile(tree.record())
	if errors.Is(err, fs.ErrNotExist) {
		return record, fmt.Errorf("bottle %s %w", name, ErrNotInstalled)
	}
	if err != nil {
		return record, err
	}
	if err := json.Unmarshal(data, &record); err != nil {
		return record, fmt.Errorf("%s: %w", tree.record(), err)
	}
	return record, nil
}

// services are the systemd services of an installed bottle, the pod's first and
// the agent's last.
func (i installed) services() []string {
	var names []string
	for _, unit := range i.Units {
		if u := (quadlet.Unit{Name: unit}); !u.IsTimer() {
			names = append(names, u.Service())
		}
	}
	order := func(service string) int {
		switch service {
		case quadlet.PodService(i.Request.Spec.Identity):
			return 0
		case quadlet.AgentService(i.Request.Spec.Identity):
			return 2
		}
		return 1
	}
	slices.SortStableFunc(names, func(a, b string) int { return order(a) - order(b) })
	return names
}

// parts are the services without what their names have in common.
func (i installed) parts() []string {
	prefix := quadlet.UnitName(i.Request.Spec.Identity, "")
	var parts []string
	for _, service := range i.services() {
		parts = append(parts, strings.TrimSuffix(strings.TrimPrefix(service, prefix), ".service"))
	}
	return parts
}

// networks are the services of the bottle's networks.
func (i installed) networks() []string {
	return slices.DeleteFunc(i.services(), func(s string) bool { return !strings.HasSuffix(s, "-network.service") })
}

// reservedEndings are what names of containers, pods and networks end with: a
// bottle called x-egress would take the name of the sidecar of bottle x.
var reservedEndings = []string{"pod", "infra", "agent", "egress", "pipelock", "git-gate", "supervise", "internal", "uplink", "home", "image"}

// CheckUnitName refuses a name that a bottle of systemd cannot have.
func CheckUnitName(name string) error {
	if !state.ValidSlug(name) {
		return fmt.Errorf("%q cannot be the name of a bottle: at most 48 lower-case letters, digits and dashes can; say --name", name)
	}
	for _, ending := range reservedEndings {
		if name == ending || strings.HasSuffix(name, "-"+ending) {
			return fmt.Errorf("%q cannot be the name of a bottle: %q ends the name of a part of one; say --name", name, ending)
		}
	}
	return nil
}

// quadletDir is where Quadlet finds the units of one bottle. It reads
// directories below its own.
func (l *Launcher) quadletDir(name string) string {
	return filepath.Join(l.configDir(), "containers", "systemd", "podbottle-"+name)
}

// timerDir is where systemd finds the user's own units.
func (l *Launcher) timerDir() string { return filepath.Join(l.configDir(), "systemd", "user") }

func (l *Launcher) configDir() string {
	if dir, ok := l.Lookup("XDG_CONFIG_HOME"); ok && filepath.IsAbs(dir) {
		return dir
	}
	return filepath.Join(l.Home, ".config")
}

// connect reaches Podman and the user's systemd. Its caller calls disconnect.
func connect(ctx context.Context) (client *pod.Client, manager *systemd.Manager, disconnect func(), err error) {
	if client, err = pod.Connect(ctx); err != nil {
		return nil, nil, nil, err
	}
	if manager, err = systemd.Connect(ctx); err != nil {
		client.Close()
		return nil, nil, nil, err
	}
	return client, manager, func() {
		manager.Close()
		client.Close()
	}, nil
}
