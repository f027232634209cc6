package blueprint

import (
	"fmt"
	"maps"
	"net/netip"
	"path"
	"strings"
	"time"

	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/gitgate"
	"github.com/podbottle/podbottle/internal/pipelock"
	"github.com/podbottle/podbottle/internal/ready"
	"github.com/podbottle/podbottle/internal/supervise"
)

// sidecarPids bounds the tasks of a sidecar; git-gate runs git, the others only themselves.
const sidecarPids = 512

// stopTime is how long a container may take to end after SIGTERM.
const stopTime = 2 * time.Second

// Containers describes the members of the pod: the sidecars, and the agent last.
func (b *Bottle) Containers(a Addresses) []Container {
	all := []Container{b.egress(a), b.firewall()}
	if len(b.plan.GitGate.Upstreams) > 0 {
		all = append(all, b.gitGate(a))
	}
	if b.plan.Supervise != nil {
		all = append(all, b.supervise(a))
	}
	return append(all, b.agent(a))
}

// sidecar is what all sidecars have in common.
func (b *Bottle) sidecar(s Service, args []string) Container {
	mounts := []Mount{
		{Type: MountBind, Source: configDir(s), Target: ConfigDir, ReadOnly: true},
		{Type: MountBind, Source: secretsDir(s), Target: SecretsDir, ReadOnly: true},
		{Type: MountBind, Source: runDir(s), Target: RunDir},
		{Type: MountBind, Source: b.dataDir(s), Target: StateDir},
	}
	return Container{
		Service:    s,
		Name:       "bot-bottle-" + b.Slug + "-" + string(s),
		Image:      b.options.Images.Sidecar,
		Entrypoint: []string{SidecarBin},
		Command:    args,
		User:       SidecarUser,
		Labels:     b.labels(s),
		Mounts:     mounts,
		Tmpfs:      []string{"/tmp"},
		ReadOnly:   true,
		PidsLimit:  sidecarPids,
		StopTime:   stopTime,
		Ready:      path.Join(runDir(s), ready.Service),
	}
}

func (b *Bottle) labels(s Service) map[string]string {
	labels := maps.Clone(b.Labels)
	labels[LabelService] = string(s)
	return labels
}

func (b *Bottle) egress(a Addresses) Container {
	// pipelock 2.3.0 drops an intercepted HTTP/1.1 connection after each response without
	// saying so, and what was sent on it meanwhile is lost.
	preferHTTP2 := b.options.Firewall == pipelock.EnginePipelock
	return b.sidecar(Egress, b.plan.Egress.Args(a.Pod, egress.Beside{
		GitGate: len(b.plan.GitGate.Upstreams) > 0, Supervise: b.plan.Supervise != nil, PreferHTTP2: preferHTTP2,
	}))
}

func (b *Bottle) firewall() Container {
	c := b.sidecar(Pipelock, b.plan.Pipelock.Args())
	if b.options.Firewall == pipelock.EngineBuiltin {
		return c
	}
	c.Command = b.plan.Pipelock.EngineArgs()
	c.Entrypoint = []string{pipelock.BinaryPath}
	// pipelock writes no marker of ours; egress is ready only once a request went through it.
	c.Ready = ""
	c.Env = map[string]string{"SSL_CERT_FILE": path.Join(ConfigDir, "roots.pem")}
	if b.options.FirewallBinary != "" {
		c.Mounts = append(c.Mounts, Mount{Type: MountBind, Source: b.options.FirewallBinary, Target: pipelock.BinaryPath, ReadOnly: true})
	} else {
		c.Image = b.options.Images.Firewall
	}
	return c
}

func (b *Bottle) gitGate(a Addresses) Container {
	c := b.sidecar(GitGate, b.plan.GitGate.Args(a.Pod))
	c.Image = b.options.Images.GitGate
	if b.options.SSHAuthSock != "" {
		c.User = OperatorUser
		c.Mounts = append(c.Mounts, Mount{Type: MountBind, Source: b.options.SSHAuthSock, Target: gitgate.AgentSocket})
	}
	return c
}

func (b *Bottle) supervise(a Addresses) Container {
	c := b.sidecar(Supervise, b.plan.Supervise.Args(a.Pod))
	c.Mounts = append(c.Mounts, Mount{Type: MountBind, Source: configDir(Egress), Target: supervise.EgressConfigDir, ReadOnly: true})
	return c
}

// trustStores are the places where distributions keep the bundle of trusted
// certificates: Debian and Alpine, Fedora and RHEL, SUSE, and the BSD-style path
// that LibreSSL and Go also read.
var trustStores = []string{
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
	"/etc/ssl/ca-bundle.pem",
	"/etc/ssl/cert.pem",
}

// trustVariables name the bundle for the programs that read no system store.
var trustVariables = []string{
	"SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO",
	"CODEX_CA_CERTIFICATE", "PIP_CERT", "AWS_CA_BUNDLE", "CARGO_HTTP_CAINFO", "DENO_CERT", "NPM_CONFIG_CAFILE",
	"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "NIX_SSL_CERT_FILE", "BUNDLE_SSL_CA_CERT",
}

func (b *Bottle) agent(a Addresses) Container {
	p := b.plan.AgentProvision
	mounts := []Mount{
		{Type: MountBind, Source: b.options.SidecarProgram, Target: Handover, ReadOnly: true},
		{Type: MountBind, Source: handoverDir, Target: HandoverDir, ReadOnly: true},
		{Type: MountVolume, Source: HomeVolume(b.Slug), Target: p.GuestHome},
	}
	for _, store := range trustStores {
		mounts = append(mounts, Mount{Type: MountBind, Source: handoverDir + "/ca-bundle.crt", Target: store, ReadOnly: true})
	}
	command := []string{"handover", "--egress", netip.AddrPortFrom(a.Pod, egress.Port).String(), "--home", p.GuestHome}
	if !b.options.Runsc {
		command = append(command, "--filtered")
	}
	command = append(append(command, "--"), b.options.Argv...)
	hosts := []Host{{"egress", a.Pod}}
	if len(b.plan.GitGate.Upstreams) > 0 {
		hosts = append(hosts, Host{"git-gate", a.Pod})
	}
	if b.plan.Supervise != nil {
		hosts = append(hosts, Host{"supervise", a.Pod})
	}
	labels, nproc := b.labels(Agent), int64(0)
	labels[LabelRuntime] = "crun"
	if b.options.Runsc {
		labels[LabelRuntime] = "runsc"
		nproc = guestTasks(b.Slice.TasksMax)
	}
	return Container{
		Service:    Agent,
		Name:       b.plan.ContainerName,
		Hostname:   hostname(b.plan.Spec.AgentName),
		Image:      b.plan.RuntimeImage,
		Entrypoint: []string{Handover},
		Command:    command,
		Env:        b.agentEnv(),
		User:       AgentUser,
		WorkDir:    b.plan.WorkDir,
		Labels:     labels,
		Mounts:     mounts,
		OwnNetwork: true,
		Address:    a.Agent,
		Hosts:      hosts,
		// Nothing answers there; without an entry Podman lists the host's resolvers.
		DNS:       []netip.Addr{a.Pod},
		Runsc:     b.options.Runsc,
		Init:      true,
		Terminal:  b.options.Terminal,
		Stdin:     true,
		PidsLimit: b.Slice.TasksMax,
		NProc:     nproc,
		Slice:     b.Slice.Name,
		StopTime:  stopTime,
		Ready:     path.Join(runDir(Egress), ready.Agent),
	}
}

// guestTasks is how many tasks the agent may have inside of gVisor, so that those of
// the host which stay behind them are fewer than tasksMax: measured were 57 for an
// idle agent and up to 2.7 more for each of its processes. At the host's limit gVisor
// would end, and the agent with it; at its own, which gVisor's kernel holds without
// any cgroup, a fork fails. 0 is no limit.
func guestTasks(tasksMax int64) int64 {
	const idle, each, fewest = 64, 4, 16
	if tasksMax <= 0 {
		return 0
	}
	return max((tasksMax-idle)/each, fewest)
}

// agentEnv is the agent's environment without its secrets, which the handover
// program reads from a file.
func (b *Bottle) agentEnv() map[string]string {
	p := b.plan.AgentProvision
	proxy := fmt.Sprintf("http://egress:%d", egress.Port)
	const direct = "localhost,127.0.0.1,::1,supervise,git-gate"
	env := map[string]string{
		"HOME":       p.GuestHome,
		"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy, "ALL_PROXY": proxy, "NO_PROXY": direct,
		"http_proxy": proxy, "https_proxy": proxy, "all_proxy": proxy, "no_proxy": direct,
		// Node reads the proxy variables only when it is told to (nodejs.org/api/cli.html).
		"NODE_USE_ENV_PROXY": "1",
	}
	for _, name := range trustVariables {
		env[name] = CABundle
	}
	if b.options.Terminal && b.options.Term != "" {
		env["TERM"] = b.options.Term
	}
	maps.Copy(env, b.plan.Literals)
	for _, name := range []string{"NO_PROXY", "no_proxy"} {
		if env[name] != direct { // a bottle's own; egress has no route to the other sidecars
			env[name] += "," + direct
		}
	}
	maps.Copy(env, p.GuestEnv)
	return env
}

// hostname is a valid label made from the agent's name (RFC 1123).
func hostname(agent string) string {
	const longest = 63
	if len(agent) > longest {
		agent = agent[:longest]
	}
	return strings.Trim(agent, "-")
}
