// Package seccomp makes the filter of system calls under which the containers of a
// bottle run. It is Podman's default, without what an agent or a sidecar has no use
// for and attackers have: namespaces of its own, mounts, sockets of odd families,
// keyrings, other architectures' system calls. Under runsc the agent's calls meet
// gVisor's kernel instead, which does not read it.
package seccomp

import (
	"encoding/json"
	"math"
	"slices"

	"github.com/containers/common/pkg/seccomp"
	"golang.org/x/sys/unix"
)

// JSON is the profile as Podman reads it from a file (containers-seccomp.json(5)).
func JSON() []byte {
	text, err := json.MarshalIndent(Profile(), "", "  ")
	if err != nil {
		panic(err) // it holds nothing but texts and numbers
	}
	return append(text, '\n')
}

// withdrawn are calls of the default profile that answer ENOSYS here, as if the kernel
// did not know them: programs are prepared for that.
var withdrawn = []string{
	// clone3 has its flags in memory, where a filter cannot read them; libc falls back on clone.
	"clone3",
	"fanotify_init", "fanotify_mark", "keyctl", "modify_ldt",
	// Mounts, for which a container without CAP_SYS_ADMIN would need a user namespace.
	"fsconfig", "fsmount", "fsopen", "fspick", "mount_setattr", "move_mount", "open_tree",
	// All sockets of 32-bit programs in one call, with its arguments in memory.
	"socketcall",
}

// forbidden are calls of the default profile that answer EPERM here, as they do
// without a privilege.
var forbidden = []string{"mount", "pivot_root", "reboot", "setns", "syslog", "umount", "umount2"}

// filtered are calls of which the arguments decide.
var filtered = []string{"clone", "personality", "socket", "socketpair", "unshare"}

// Profile is the profile of every container. It does not depend on the container's
// capabilities, of which there are none.
//
// ptrace and process_vm_readv stay: debuggers and strace are tools of an agent, and
// reach nothing but the processes of its own container.
func Profile() *seccomp.Seccomp {
	p := seccomp.DefaultProfile()
	for i := range p.ArchMap {
		// As under gVisor, programs for 32 bits do not run: the kernel's second entry
		// would be open to all that is refused by argument here.
		p.ArchMap[i].SubArches = nil
	}
	var rules []*seccomp.Syscall
	for _, rule := range p.Syscalls {
		if len(rule.Includes.Caps) > 0 {
			continue
		}
		rule.Excludes.Caps = nil
		rule.Names = slices.DeleteFunc(rule.Names, func(name string) bool {
			return slices.Contains(withdrawn, name) || slices.Contains(forbidden, name) || slices.Contains(filtered, name)
		})
		if len(rule.Names) > 0 {
			rules = append(rules, rule)
		}
	}
	rules = append(rules, refuse("EPERM", nil, forbidden...))
	rules = append(rules, personalities()...)
	rules = append(rules, namespaces("clone", cloneFlags)...)
	rules = append(rules, namespaces("unshare", append(slices.Clone(cloneFlags), unix.CLONE_NEWTIME))...)
	rules = append(rules, sockets()...)
	p.Syscalls = rules
	return p
}

// cloneFlags are the flags of clone(2) that make a namespace. CLONE_NEWTIME is not
// among them: its bit is part of clone's exit signal.
var cloneFlags = []uint64{
	unix.CLONE_NEWNS, unix.CLONE_NEWCGROUP, unix.CLONE_NEWUTS, unix.CLONE_NEWIPC, unix.CLONE_NEWUSER, unix.CLONE_NEWPID, unix.CLONE_NEWNET,
}

// namespaces lets a call through unless one of the flags is set in its first argument.
// On s390 that is clone's second one, and so the call is not let through at all.
func namespaces(name string, flags []uint64) []*seccomp.Syscall {
	var all uint64
	var rules []*seccomp.Syscall
	for _, flag := range flags {
		all |= flag
		rules = append(rules, refuse("EPERM", args(set(0, flag, flag)), name))
	}
	let := allow(args(set(0, all, 0)), name)
	let.Excludes.Arches = []string{"s390", "s390x"}
	return append(rules, let)
}

// personalities lets a program ask for its execution domain, and set the usual one.
func personalities() []*seccomp.Syscall {
	const linux, ask = 0, math.MaxUint32
	return []*seccomp.Syscall{
		allow(args(equal(0, linux)), "personality"),
		allow(args(equal(0, ask)), "personality"),
	}
}

// Internet protocols of a socket: those that programs use, and those that Linux has
// besides, for which it would load modules that few people look at.
var (
	protocols    = []uint64{0, unix.IPPROTO_ICMP, unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_ICMPV6, unix.IPPROTO_RAW}
	oddProtocols = []uint64{unix.IPPROTO_DCCP, unix.IPPROTO_L2TP, unix.IPPROTO_SCTP, unix.IPPROTO_UDPLITE, unix.IPPROTO_SMC, unix.IPPROTO_MPTCP}
)

// sockets lets programs use Unix sockets, the internet's, and ask the kernel for
// addresses and routes. What is refused is refused as by a kernel that was built
// without it, so that a program can do without. All comparisons are of 64 bits, of
// which the kernel reads 32: a value that differs in the others matches nothing.
func sockets() []*seccomp.Syscall {
	const family, protocol = 0, 2
	rules := []*seccomp.Syscall{
		allow(args(equal(family, unix.AF_UNIX)), "socket", "socketpair"),
		allow(args(equal(family, unix.AF_NETLINK), equal(protocol, unix.NETLINK_ROUTE)), "socket"),
		refuse("EPROTONOSUPPORT", args(equal(family, unix.AF_NETLINK), above(protocol, unix.NETLINK_ROUTE)), "socket"),
		refuse("EAFNOSUPPORT", args(above(family, unix.AF_NETLINK)), "socket"),
		refuse("EAFNOSUPPORT", args(above(family, unix.AF_UNIX)), "socketpair"),
	}
	for _, f := range []uint64{unix.AF_INET, unix.AF_INET6} {
		for _, p := range protocols {
			rules = append(rules, allow(args(equal(family, f), equal(protocol, p)), "socket"))
		}
		for _, p := range oddProtocols {
			rules = append(rules, refuse("EPROTONOSUPPORT", args(equal(family, f), equal(protocol, p)), "socket"))
		}
	}
	for f := uint64(unix.AF_UNSPEC); f < unix.AF_NETLINK; f++ {
		if f != unix.AF_UNIX && f != unix.AF_INET && f != unix.AF_INET6 {
			rules = append(rules, refuse("EAFNOSUPPORT", args(equal(family, f)), "socket"))
		}
	}
	return rules
}

func allow(when []*seccomp.Arg, names ...string) *seccomp.Syscall {
	return &seccomp.Syscall{Names: names, Action: seccomp.ActAllow, Args: when}
}

func refuse(errno string, when []*seccomp.Arg, names ...string) *seccomp.Syscall {
	return &seccomp.Syscall{Names: names, Action: seccomp.ActErrno, Errno: errno, Args: when}
}

// args are conditions that must all hold, each about another argument.
func args(all ...*seccomp.Arg) []*seccomp.Arg { return all }

func equal(index uint, value uint64) *seccomp.Arg {
	return &seccomp.Arg{Index: index, Value: value, Op: seccomp.OpEqualTo}
}

func above(index uint, value uint64) *seccomp.Arg {
	return &seccomp.Arg{Index: index, Value: value, Op: seccomp.OpGreaterThan}
}

// set compares the bits of a mask.
func set(index uint, mask, value uint64) *seccomp.Arg {
	return &seccomp.Arg{Index: index, Value: mask, ValueTwo: value, Op: seccomp.OpMaskedEqual}
}
