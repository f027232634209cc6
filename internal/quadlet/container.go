package quadlet

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/podbottle/podbottle/internal/blueprint"
	"github.com/podbottle/podbottle/internal/ready"
)

// container is one member of the pod. Every setting has its counterpart in
// package pod's specification of the live bottle.
func (w bottle) container(c blueprint.Container) (Unit, error) {
	agent := c.Service == blueprint.Agent
	title := "The agent"
	if !agent {
		title = "The sidecar " + string(c.Service)
	}
	f := w.begin(title)
	if !agent {
		f.comment("Without it the agent has no network, and nothing else happens: it is started again for ever.")
		f.line("StartLimitIntervalSec", "0")
	}
	f.quadlet()
	f.section("Container")
	f.set("ContainerName", c.Name)
	f.line("Pod", w.podUnit())
	w.image(f, c, agent)
	w.process(f, c)
	w.hardening(f, c)
	w.namespaces(f, c)
	w.mounts(f, c)
	w.secrets(f, c)
	f.pairs("Label", c.Labels)
	f.comment("The slug is the field CONTAINER_TAG of each line in the journal.")
	f.line("LogDriver", "journald")
	f.words("LogOpt", "tag="+w.Slug)
	w.service(f, agent)
	return f.unit(w.unit(string(c.Service), "container"))
}

func (w bottle) image(f *file, c blueprint.Container, agent bool) {
	name := c.Image
	if agent && w.Build != nil {
		f.line("Image", w.unit("image", "build"))
	} else {
		f.check("Image", image(name))
		f.set("Image", name)
	}
	f.comment("What runs is what was there when the bottle was installed.")
	f.line("Pull", "never")
	f.line("HealthCmd", "none")
	if c.Runsc && w.Runtime != "" {
		runtime, err := w.argument(w.Runtime)
		f.check("GlobalArgs", err)
		f.comment("Quadlet has no key for the OCI runtime: the agent's kernel is gVisor's.")
		f.line("GlobalArgs", "--runtime="+runtime)
	}
}

// process is what runs, as whom, with which variables.
func (w bottle) process(f *file, c blueprint.Container) {
	f.set("Entrypoint", entrypoint(c.Entrypoint))
	f.words("Exec", c.Command...)
	f.set("User", c.User)
	f.set("WorkingDir", c.WorkDir)
	for _, name := range slices.Sorted(maps.Keys(c.Env)) {
		if !variableName.MatchString(name) {
			f.check("Environment", fmt.Errorf("the variable %q has a name that a unit cannot hold", name))
		}
	}
	f.pairs("Environment", c.Env)
	if w.since("5.7.0") {
		f.line("HttpProxy", "false")
	} else {
		f.podmanArgs("The key HttpProxy= is there from Podman 5.7 on: the host's proxy variables are not the container's.", "--http-proxy=false")
	}
	if c.Init {
		f.line("RunInit", "true")
	}
	if c.Stdin || c.Terminal {
		var args []string
		if c.Stdin {
			args = append(args, "--interactive")
		}
		if c.Terminal {
			args = append(args, "--tty")
		}
		f.podmanArgs("Quadlet has no key for standard input and the terminal, which podbottle attach uses.", args...)
	}
	f.set("StopTimeout", strconv.Itoa(int(c.StopTime/time.Second)))
}

// entrypoint is podman's: one word, or a JSON array.
func entrypoint(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	text, err := json.Marshal(words)
	if err != nil {
		panic(err) // strings always have a JSON form
	}
	return string(text)
}

func (w bottle) hardening(f *file, c blueprint.Container) {
	f.line("DropCapability", "all")
	f.line("NoNewPrivileges", "true")
	seccomp, err := w.path(w.Seccomp)
	f.check("SeccompProfile", err)
	f.line("SeccompProfile", seccomp)
	f.line("ReadOnly", strconv.FormatBool(c.ReadOnly))
	f.line("ReadOnlyTmpfs", "false")
	for _, target := range c.Tmpfs {
		f.set("Tmpfs", target+":rw,nosuid,nodev,noexec,size=64m")
	}
	switch {
	case c.Runsc:
		f.comment("Under runsc a container's own limits do nothing: those in [Service] hold, and gVisor's of processes.")
		f.line("PidsLimit", "0")
		if c.NProc > 0 {
			f.line("Ulimit", fmt.Sprintf("nproc=%[1]d:%[1]d", c.NProc))
		}
	case !w.Pids:
		f.comment("The pids controller is not delegated to this user, so that crun would refuse a limit.")
		f.line("PidsLimit", "0")
	default:
		f.line("PidsLimit", strconv.FormatInt(max(c.PidsLimit, 0), 10))
	}
	f.podmanArgs("Quadlet has no key for volumes that an image declares: none is made.", "--image-volume=ignore")
}

func (w bottle) namespaces(f *file, c blueprint.Container) {
	f.podmanArgs("Quadlet has no keys for these namespaces: none is shared.", "--ipc=private", "--pid=private", "--uts=private", "--cgroupns=private")
	if !c.OwnNetwork {
		return
	}
	f.comment("On the internal network alone, not in the pod's network namespace: no route leads out.")
	f.line("Network", w.unit("internal", "network")+":ip="+c.Address.String()+",interface_name="+w.Internal.InterfaceName)
	f.set("HostName", c.Hostname)
	for _, host := range c.Hosts {
		f.line("AddHost", host.Name+":"+host.Addr.String())
	}
	f.comment("Nothing answers there. Without an entry the host's resolvers would be listed.")
	for _, addr := range c.DNS {
		f.line("DNS", addr.String())
	}
	f.podmanArgs("Quadlet has no key for the base of /etc/hosts: the host's names are not the agent's business.", "--hosts-file=none")
}

func (w bottle) mounts(f *file, c blueprint.Container) {
	for _, m := range c.Mounts {
		if m.Type == blueprint.MountVolume {
			f.line("Volume", w.unit("home", "volume")+":"+m.Target+":nosuid,nodev")
			continue
		}
		source, err := w.source(m.Source)
		f.check("Volume", err)
		target, err := plain(m.Target)
		f.check("Volume", err)
		options := "bind,nosuid,nodev,rw"
		if m.ReadOnly {
			options = "bind,nosuid,nodev,ro"
		}
		if w.SELinux {
			options += ",z"
		}
		f.line("Volume", source+":"+target+":"+options)
	}
}

// source is the host path of a bind mount.
func (w bottle) source(source string) (string, error) {
	if path.IsAbs(source) {
		return w.path(source)
	}
	text, err := plain(source)
	return "%t/podbottle/" + w.Slug + "/" + text, err
}

// secrets lie over empty files of the mounted directory of the live bottle, so
// that a container finds them in the same place.
func (w bottle) secrets(f *file, c blueprint.Container) {
	uid, gid, _ := strings.Cut(c.User, ":")
	mode := "0400"
	if c.Service == blueprint.Agent {
		// Its variables are for whoever runs in there, such as root without a capability, as
		// podbottle verify does.
		mode = "0444"
	}
	for _, s := range Secrets(w.Bottle) {
		if s.Service == c.Service {
			f.words("Secret", s.Name+",type=mount,target="+s.Target+",uid="+uid+",gid="+gid+",mode="+mode)
		}
	}
}

// service is systemd's part.
func (w bottle) service(f *file, agent bool) {
	f.section("Service")
	switch {
	case !agent:
		f.line("Restart", "always")
		f.line("RestartSec", "200ms")
		f.line("SuccessExitStatus", "137 143")
		return
	case w.Headless != nil:
		w.headless(f)
	default:
		w.interactive(f)
	}
	f.comment("An agent that is stopped before it was handed its container gets a TERM alone, which many ignore.")
	f.line("TimeoutStopSec", "15")
	w.limits(f)
}

// interactive is an agent that waits for podbottle attach.
func (w bottle) interactive(f *file) {
	f.comment("A marker of an earlier run would pass for this one's.")
	f.line("ExecStartPre", "-rm -f %t/podbottle/"+w.Slug+"/"+path.Join(string(blueprint.Egress), "run", ready.Agent))
	f.comment("The unit is active once every service does its work and the agent was handed its container.")
	w.own(f, "ExecStartPost", "await")
	f.line("Restart", "on-failure")
	f.line("RestartSec", "1")
	f.comment("137 is both the end of a stop and of a process that used too much memory.")
	f.line("SuccessExitStatus", "137 143")
	f.line("RestartForceExitStatus", "137")
}

// headless is an agent that runs one prompt. Its exit status is the unit's result.
func (w bottle) headless(f *file) {
	prompt, err := w.stream(w.Headless.Prompt)
	f.check("StandardInput", err)
	answer, err := w.stream(w.Headless.Answer)
	f.check("StandardOutput", err)
	emptied, err := w.argument(w.Headless.Answer)
	f.check("ExecStartPre", err)
	f.line("Type", "oneshot")
	f.line("StandardInput", "file:"+prompt)
	f.comment("The answer is in this file, and in the journal through the container's log. The stop commands",
		"have the same standard output, so that it is emptied here and not by StandardOutput=truncate:.")
	f.line("ExecStartPre", "truncate --size=0 "+emptied)
	f.line("StandardOutput", "append:"+answer)
	f.line("StandardError", "journal")
	f.line("SuccessExitStatus", "143")
	f.comment("Nothing holds a token when nobody works.")
	f.line("ExecStopPost", "-systemctl --user --no-block stop "+PodService(w.Slug))
}

// limits are systemd.resource-control(5)'s on the unit, in whose cgroup the
// runsc sandbox stays.
func (w bottle) limits(f *file) {
	s := w.Slice
	if s.MemoryMax > 0 {
		f.line("MemoryMax", strconv.FormatInt(s.MemoryMax, 10))
		f.line("MemorySwapMax", "0")
	}
	if s.TasksMax > 0 {
		f.line("TasksMax", strconv.FormatInt(s.TasksMax, 10))
	}
	if s.CPUQuota > 0 {
		percent := float64(s.CPUQuota) / float64(time.Second) * 100
		f.line("CPUQuota", strconv.FormatFloat(percent, 'f', -1, 64)+"%")
	}
}
