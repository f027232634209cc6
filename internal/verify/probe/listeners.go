package probe

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// listeners returns the TCP ports on which anything listens in this network
// namespace, sorted (proc(5), /proc/net/tcp).
func listeners() ([]uint16, error) {
	var ports []uint16
	for _, path := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		table, err := os.ReadFile(path) // #nosec G304 -- the two above
		if err != nil {
			return nil, err
		}
		found, err := listening(string(table))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		ports = append(ports, found...)
	}
	slices.Sort(ports)
	return slices.Compact(ports), nil
}

func listening(table string) ([]uint16, error) {
	const local, state, listen = 1, 3, "0A"
	var ports []uint16
	for i, line := range strings.Split(strings.TrimSpace(table), "\n") {
		fields := strings.Fields(line)
		if i == 0 || len(fields) <= state || fields[state] != listen {
			continue
		}
		_, text, _ := strings.Cut(fields[local], ":")
		port, err := strconv.ParseUint(text, 16, 16)
		if err != nil {
			return nil, fmt.Errorf("line %q: %w", line, err)
		}
		ports = append(ports, uint16(port))
	}
	return ports, nil
}
