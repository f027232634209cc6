//go:build breakage

package breakage

import (
	"io"
	"net"
	"os"
	"slices"
	"strings"
)

// Variable names what is broken, separated by commas.
const Variable = "PODBOTTLE_BREAK"

// Has tells whether a thing is to be broken.
func Has(what string) bool { return slices.Contains(strings.Split(All(), ","), what) }

// All is everything that is to be broken, as Variable has it.
func All() string { return os.Getenv(Variable) }

// TrialVariable names a directory of podbottle verify's, which a breakage mounts
// parts of.
const TrialVariable = "PODBOTTLE_BREAK_TRIAL"

// LoopbackDir is where the agent has sockets that lead to ports of the host's loopback;
// in the trial's directory it has the same name.
const LoopbackDir = "/loopback"

// Forward passes on all connections that a listener takes.
func Forward(l net.Listener, network, address string) {
	for {
		from, err := l.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial(network, address)
		if err != nil {
			_ = from.Close()
			continue
		}
		pass := func(to, from net.Conn) {
			_, _ = io.Copy(to, from)
			_ = to.Close()
		}
		go pass(to, from)
		go pass(from, to)
	}
}
