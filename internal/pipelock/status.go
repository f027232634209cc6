package pipelock

// StatusFile is written by the built-in engine into its run directory when it has read
// its configuration, so that whoever replaced that on the host can see whether it is in
// force. pipelock itself writes none: it is started again.
const StatusFile = "firewall.json"

// Status is the content of StatusFile.
type Status struct {
	// SHA256 is the egress.Fingerprint of the configuration that was read last.
	SHA256 string `json:"sha256"`
	// Error says why that was refused and the one before kept; empty when it is in force.
	Error string `json:"error,omitempty"`
}
