package probe

// Controls that many probes share.
const (
	controlEgress  = "egress accepts a connection from the same container"
	controlAllowed = "a request to the allowed host is answered, and its server saw it"
)

// catalogue lists what runs inside, as data and the function that tries it.
func catalogue() []inside {
	var all []inside
	for _, class := range [][]inside{networkProbes(), podProbes(), hostProbes(), dnsProbes(), egressProbes(), secretProbes(), kernelProbes()} {
		all = append(all, class...)
	}
	return all
}

func networkProbes() []inside {
	return []inside{
		{Probe{ID: "net.routes", Tried: "read the kernel's routing table", Control: "the internal network's own route is there", Breach: "a route to anywhere but the internal network"}, netRoutes},
		{Probe{ID: "net.add-route", Tried: "add a route by the gateway", Control: "the interfaces can be listed over netlink", Breach: "the kernel takes the route", Root: true}, netAddRoute},
		{Probe{ID: "net.tcp4", Tried: "connect to literal IPv4 addresses of the internet", Control: controlEgress, Breach: "anything but the kernel's word that there is no route"}, netTCP4},
		{Probe{ID: "net.tcp6", Tried: "connect to literal IPv6 addresses, mapped and translated ones too", Control: controlEgress, Breach: "anything but the kernel's word that there is no route"}, netTCP6},
		{Probe{ID: "net.udp4", Tried: "send datagrams to literal IPv4 addresses, connected and not (DNS, NTP, QUIC)", Control: controlEgress, Breach: "a datagram is taken"}, netUDP4},
		{Probe{ID: "net.udp6", Tried: "send datagrams to literal IPv6 addresses", Control: controlEgress, Breach: "a datagram is taken"}, netUDP6},
		{Probe{ID: "net.icmp", Tried: "send an echo request from a raw and from a datagram socket", Control: controlEgress, Breach: "a raw socket opens, or the request is taken", Root: true}, netICMP},
		{Probe{ID: "net.raw", Tried: "open raw IPv4 and IPv6 sockets", Control: "a TCP socket opens", Breach: "one opens", Root: true}, netRaw},
		{Probe{ID: "net.packet", Tried: "open packet sockets", Control: "a TCP socket opens", Breach: "one opens", Root: true}, netPacket},
		{Probe{ID: "net.vsock", Tried: "connect to the host by vsock", Control: controlEgress, Breach: "the connection is under way (vsock knows no network namespace)", Root: true}, netVsock},
		{Probe{ID: "net.families", Tried: "open sockets of families and protocols that no program of an agent needs (ALG, KEY, TIPC, RDS, XDP, netlink but for routes, SCTP, DCCP, MPTCP)", Control: "a TCP socket opens", Breach: "one opens", Root: true}, netFamilies},
	}
}

func podProbes() []inside {
	return []inside{
		{Probe{ID: "pod.ports", Tried: "connect to the pod's address on every port on which anything in it listens, and on all system ports", Control: "the ports that are meant to be open are", Breach: "any other is open"}, podPorts},
		{Probe{ID: "pod.gateway", Tried: "connect to the internal network's gateway on all system ports, and those of resolvers, engines and the sidecars", Control: controlEgress, Breach: "one is open"}, podGateway},
		{Probe{ID: "pod.neighbours", Tried: "connect to every other address of the internal network", Control: controlEgress, Breach: "somebody answers"}, podNeighbours},
		{Probe{ID: "pod.outside", Tried: "connect to the pod's address on the uplink and to the uplink's gateway, on the ports of the sidecars", Control: controlEgress, Breach: "anything but the kernel's word that there is no route"}, podOutside},
		{Probe{ID: "pod.others", Tried: "connect to the sidecars, the agent and the gateways of another bottle, and ask egress for them", Control: "that bottle's egress answers in its own pod", Breach: "anything but the kernel's word that there is no route, or egress lets one through", Others: true, Root: true}, podOthers},
		{Probe{ID: "pod.loopback", Tried: "ask egress for the firewall's and the metrics' ports on its own loopback", Control: controlAllowed, Breach: "egress lets it through"}, podLoopback},
	}
}

func hostProbes() []inside {
	return []inside{
		{Probe{ID: "host.tcp", Tried: "connect to this machine by each of its addresses and by those that pasta, slirp4netns and Docker give it", Control: controlEgress + "; the server is reached from the pod", Breach: "anything but the kernel's word that there is no route"}, hostDirect("tcp")},
		{Probe{ID: "host.udp", Tried: "send datagrams to the same addresses", Control: controlEgress + "; the server is reached from the pod", Breach: "a datagram is taken"}, hostDirect("udp")},
		{Probe{ID: "host.loopback", Tried: "connect to ports of this machine's loopback by the container's own", Control: controlEgress + "; a server listens there on the host", Breach: "a connection is taken"}, hostLoopback},
		{Probe{ID: "host.egress", Tried: "ask egress for this machine and for loopback, in every spelling", Control: controlAllowed, Breach: "egress lets one through"}, hostThroughEgress},
		{Probe{ID: "host.metadata", Tried: "ask egress for cloud metadata services, in every spelling", Control: controlAllowed, Breach: "egress lets one through"}, hostMetadata},
		{Probe{ID: "host.sockets", Tried: "look for sockets of the host: Podman, D-Bus, systemd, ssh-agent, gpg-agent, Wayland, X11", Control: "a socket made for it is found", Breach: "one is there, by path, by variable or by abstract name", Root: true}, filesSockets},
		{Probe{ID: "host.devices", Tried: "look for devices of the host, and make some", Control: "/dev/null is there; a pipe can be made", Breach: "there is one, or one can be made", Root: true}, filesDevices},
	}
}

func dnsProbes() []inside {
	return []inside{
		{Probe{ID: "dns.resolvers", Tried: "ask every resolver that one could name, over UDP and TCP", Control: "a resolver in the container gets the same question", Breach: "one answers, or the question arrives outside"}, dnsResolvers},
		{Probe{ID: "dns.system", Tried: "resolve names as programs do", Control: "the name egress resolves", Breach: "a name of the internet resolves"}, dnsSystem},
		{Probe{ID: "dns.tls", Tried: "connect to resolvers over TLS", Control: controlEgress, Breach: "anything but the kernel's word that there is no route"}, dnsTLS},
		{Probe{ID: "dns.https", Tried: "ask resolvers over HTTPS, through egress", Control: controlAllowed, Breach: "egress lets it through"}, dnsHTTPS},
		{Probe{ID: "dns.multicast", Tried: "ask by multicast (mDNS, LLMNR, SSDP)", Control: "a resolver in the container gets the same question", Breach: "somebody answers"}, dnsMulticast},
	}
}

func egressProbes() []inside {
	return []inside{
		{Probe{ID: "egress.unlisted", Tried: "ask for hosts that no route has, and for such that look like the allowed one", Control: controlAllowed, Breach: "one is answered"}, egressUnlisted},
		{Probe{ID: "egress.fronting", Tried: "name one host in CONNECT and another in the server name, the Host header or the target", Control: controlAllowed, Breach: "one is answered", Server: true}, egressFronting},
		{Probe{ID: "egress.ports", Tried: "ask for ports of the allowed host that its route does not have", Control: controlAllowed, Breach: "one is answered", Server: true}, egressPorts},
		{Probe{ID: "egress.hosts", Tried: "send hosts with NUL, CR, LF, user parts, over-long and mapped labels", Control: controlAllowed, Breach: "one is answered, or reaches a server", Server: true}, egressHosts},
		{Probe{ID: "egress.paths", Tried: "leave the route's path_allowlist by dots, slashes, backslashes, escapes and parameters", Control: controlAllowed, Breach: "a server gets a path that is not allowed", Server: true}, egressPaths},
		{Probe{ID: "egress.smuggling", Tried: "hide a request in the body of another by Content-Length, Transfer-Encoding, line ends and upgrades", Control: controlAllowed, Breach: "a server gets the hidden request", Server: true}, egressSmuggling},
		{Probe{ID: "egress.http2", Tried: "send HTTP/2 pseudo-header fields that name another host or hold line ends", Control: "an ordinary HTTP/2 request is answered", Breach: "a server gets one for another host or path", Server: true}, egressHTTP2},
		{Probe{ID: "egress.methods", Tried: "TRACE, CONNECT in a tunnel, the metrics, and changes of the route table", Control: controlAllowed, Breach: "one is answered", Server: true}, egressMethods},
		{Probe{ID: "egress.push", Tried: "push to git and LFS over HTTPS, around git-gate", Control: controlAllowed, Breach: "one reaches a server", Server: true}, egressPush},
		{Probe{ID: "egress.special", Tried: "ask for an allowed name that resolves to the loopback of the pod, where the metrics listen", Control: controlAllowed, Breach: "the firewall connects", Server: true}, egressSpecial},
	}
}

func secretProbes() []inside {
	return []inside{
		{Probe{ID: "secret.environment", Tried: "search the environment of every process for tokens and keys", Control: "a variable that is no secret is found", Breach: "one is found", Root: true}, secretEnvironment},
		{Probe{ID: "secret.arguments", Tried: "search the arguments of every process", Control: "this program's own are found", Breach: "one is found", Root: true}, secretArguments},
		{Probe{ID: "secret.files", Tried: "search every file of the container", Control: "a file hidden for it is found", Breach: "one is found", Root: true}, secretFiles},
		{Probe{ID: "secret.reflected", Tried: "have the server send the injected credential back: in the body, a header, compressed, in a redirect, in pieces", Control: "the server got the requests, with the credential in them", Breach: "it arrives in the container", Server: true}, secretReflected},
		{Probe{ID: "secret.mounts", Tried: "change what podbottle mounts into the agent", Control: "a file can be written elsewhere", Breach: "one can be changed", Root: true}, filesReadOnly},
	}
}

func kernelProbes() []inside {
	return []inside{
		{Probe{ID: "kernel.seen", Tried: "ask the kernel who it is", Control: "it answers", Breach: "it is this machine's", GVisor: true}, kernelSeen},
		{Probe{ID: "kernel.capabilities", Tried: "read the capability sets", Control: "they can be read", Breach: "one is not empty", Root: true}, kernelCapabilities},
		{Probe{ID: "kernel.no-new-privileges", Tried: "read no-new-privileges", Control: "the kernel answers", Breach: "it is off", Root: true}, kernelNoNewPrivileges},
		{Probe{ID: "kernel.seccomp", Tried: "read the seccomp mode", Control: "the kernel answers", Breach: "no filter is in force", Root: true}, kernelSeccomp},
		{Probe{ID: "kernel.namespaces", Tried: "compare the namespaces with the host's", Control: "the host's are known", Breach: "one is the host's"}, kernelNamespaces},
		{Probe{ID: "kernel.processes", Tried: "look for processes of the host in /proc", Control: "this process is there", Breach: "one is there", Root: true}, kernelProcesses},
		{Probe{ID: "kernel.signals", Tried: "signal every process id", Control: "a process of its own takes it", Breach: "one outside the container takes it", Root: true}, kernelSignals},
		{Probe{ID: "kernel.mount", Tried: "mount, bind, remount, unmount, pivot, and the newer calls for the same", Control: "getpid works", Breach: "one succeeds", Root: true}, kernelMount},
		{Probe{ID: "kernel.calls", Tried: "bpf, io_uring, perf, userfaultfd, modules, kexec, file handles, swap, host name, kernel log, setns, chroot", Control: "getpid works", Breach: "one succeeds", Root: true}, kernelDangerous},
		{Probe{ID: "kernel.users", Tried: "become another user", Control: "getpid works", Breach: "one call succeeds", Root: true}, kernelUsers},
		{Probe{ID: "kernel.keys", Tried: "find a key of the host's user in the keyrings", Control: "a key of its own is found, where keyrings can be used at all", Breach: "it is found", Root: true}, kernelKeys},
		{Probe{ID: "kernel.files", Tried: "write kernel settings in /proc and /sys, and read memory and logs", Control: "/proc/self/stat can be read", Breach: "one opens", Root: true}, kernelFiles},
		{Probe{ID: "kernel.nested", Tried: "make a user namespace and use its capabilities", Control: "the same program starts without one", Breach: "the host's kernel makes one, or gVisor's gives anything over what is not its own", Root: true}, kernelNested},
	}
}
