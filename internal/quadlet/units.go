// Package quadlet writes a bottle as Quadlet units (podman-systemd.unit(5)), so
// that systemd can own it. It is pure: a blueprint goes in, texts come out. What
// the units need besides themselves, the files that containers mount and the
// secrets, it names and package bottle provides.
//
// Quadlet turns a unit into a command line of podman inside a systemd service.
// Three escapings lie between a value of a manifest and that process, and each
// value goes through one of the two functions in value.go that undo all of them.
package quadlet

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/blang/semver/v4"

	"github.com/podbottle/podbottle/internal/blueprint"
)

// Unit is one file.
type Unit struct {
	Name string // its base name; the extension says what it is
	Text string
}

// IsTimer tells whether the unit is systemd's own and not Quadlet's, and so lies
// in another directory.
func (u Unit) IsTimer() bool { return strings.HasSuffix(u.Name, ".timer") }

// Service is the name of the systemd service that Quadlet makes of the unit; a
// timer's is its own.
func (u Unit) Service() string {
	base, kind, _ := strings.Cut(u.Name, ".")
	switch kind {
	case "container":
		return base + ".service"
	case "timer":
		return u.Name
	default:
		return base + "-" + kind + ".service"
	}
}

// Options are what units depend on besides the blueprint.
type Options struct {
	// Podman is the version whose generator will read the units: an unknown key is
	// fatal to it.
	Podman semver.Version
	// Program is the absolute path of podbottle, which prepares the files that the
	// containers mount.
	Program string
	// Home and RuntimeRoot are the user's home directory and $XDG_RUNTIME_DIR. Paths
	// below them are written with systemd's specifiers.
	Home, RuntimeRoot string
	// StateRoot is written as BOT_BOTTLE_ROOT where the state tree is not in its
	// usual place; otherwise it is empty.
	StateRoot string
	// Subnet is the internal network's; Subnet chooses one.
	Subnet netip.Prefix
	// Runtime is the absolute path of the agent's OCI runtime; empty for Podman's default.
	Runtime string
	// Seccomp is the absolute path of the containers' seccomp profile.
	Seccomp string
	// Pids tells whether the pids controller is delegated to the user: without it
	// crun refuses a limit of tasks.
	Pids    bool
	SELinux bool
	// Headless is set for an agent that runs one prompt and ends.
	Headless *Headless
	// Build is set for an agent whose image is built from a Containerfile.
	Build *Build
}

// Headless is one prompt, run whenever its unit is started.
type Headless struct {
	Prompt string // host path of the file with the prompt
	Answer string // host path of the file that gets the answer
	// OnCalendar is a calendar event of systemd.time(7); empty for no timer.
	OnCalendar string
}

// Build is an image that is built when the bottle starts.
type Build struct {
	Image         string // the name it gets
	Context       string // host directory
	Containerfile string // host path
	Labels, Args  map[string]string
}

// oldest is the first Podman whose Quadlet knows every key used without a gate.
var oldest = semver.MustParse("5.4.0")

// bottle is one bottle being written.
type bottle struct {
	*blueprint.Bottle
	Options
	places
}

// Units writes the units of a bottle, sorted by name. A value that no unit can
// hold is an error that names its key.
func Units(b *blueprint.Bottle, o Options) ([]Unit, error) {
	if o.Podman.LT(oldest) {
		return nil, fmt.Errorf("podman %s: its Quadlet lacks keys that a bottle needs; install podman %d.%d or later", o.Podman, oldest.Major, oldest.Minor)
	}
	addresses, err := blueprint.AddressesOf(o.Subnet)
	if err != nil {
		return nil, err
	}
	w := bottle{b, o, places{home: o.Home, runtime: o.RuntimeRoot}}
	writers := []func() (Unit, error){
		func() (Unit, error) { return w.network("internal", b.Internal, o.Subnet) },
		func() (Unit, error) { return w.network("uplink", b.Uplink, netip.Prefix{}) },
		w.volume,
		w.pod,
	}
	for _, c := range b.Containers(addresses) {
		writers = append(writers, func() (Unit, error) { return w.container(c) })
	}
	if o.Build != nil {
		writers = append(writers, w.build)
	}
	if o.Headless != nil && o.Headless.OnCalendar != "" {
		writers = append(writers, w.timer)
	}
	var units []Unit
	for _, write := range writers {
		unit, err := write()
		if err != nil {
			return nil, err
		}
		units = append(units, unit)
	}
	slices.SortFunc(units, func(a, b Unit) int { return strings.Compare(a.Name, b.Name) })
	return units, nil
}

// UnitName is the base name of a bottle's unit, without its extension. The parts
// end differently, so that units of two bottles never meet.
func UnitName(slug, part string) string { return "bot-bottle-" + slug + "-" + part }

// PodService is the service that starts and stops a whole bottle.
func PodService(slug string) string { return "bot-bottle-" + slug + "-pod.service" }

// AgentService is the service of a bottle's agent.
func AgentService(slug string) string {
	return UnitName(slug, string(blueprint.Agent)) + ".service"
}

// TimerUnit is the timer of a headless bottle.
func TimerUnit(slug string) string { return "bot-bottle-" + slug + ".timer" }

func (w bottle) podUnit() string { return "bot-bottle-" + w.Slug + ".pod" }

func (w bottle) unit(part, kind string) string { return UnitName(w.Slug, part) + "." + kind }

// begin writes what every unit starts with.
func (w bottle) begin(description string) *file {
	f := &file{}
	f.comment("Written by podbottle quadlet. Change the manifest and install again, or add a drop-in.")
	f.section("Unit")
	f.line("Description", description+" of bottle "+w.Slug)
	return f
}

// since tells whether the generator knows a key that came with a version.
func (w bottle) since(version string) bool { return w.Podman.GTE(semver.MustParse(version)) }
