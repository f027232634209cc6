//go:build breakage

package probe

import "net"

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
