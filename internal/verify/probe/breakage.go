//go:build breakage

package probe

import (
	"net"
	"path/filepath"

	"github.com/podbottle/podbottle/internal/breakage"
)

// forwardLoopback takes connections on this container's loopback, and passes them on
// to the host's by the sockets that are mounted, each named after its port.
func forwardLoopback() {
	sockets, _ := filepath.Glob(breakage.LoopbackDir + "/*")
	for _, socket := range sockets {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", filepath.Base(socket)))
		if err != nil {
			continue
		}
		go breakage.Forward(l, "unix", socket)
	}
}

// answerMulticast answers questions for everybody (RFC 6762), on each interface.
func answerMulticast() {
	interfaces, _ := net.Interfaces()
	for _, i := range interfaces {
		conn, err := net.ListenMulticastUDP("udp4", &i, &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: 5353})
		if err != nil {
			continue
		}
		go func() {
			buffer := make([]byte, 1500)
			for {
				n, from, err := conn.ReadFrom(buffer)
				if err != nil {
					return
				}
				_, _ = conn.WriteTo(buffer[:n], from)
			}
		}()
	}
}
