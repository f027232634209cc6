package egress

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// RoutesStatusFile is written by the proxy into its run directory after every
// attempt to load the route table, so that whoever replaced the table on the host
// can see whether it is in force.
const RoutesStatusFile = "routes.json"

// RoutesStatus is the content of RoutesStatusFile.
type RoutesStatus struct {
	// Generation counts the tables that were put in force since the proxy started.
	Generation int `json:"generation"`
	// SHA256 is the Fingerprint of the table that is in force.
	SHA256 string `json:"sha256"`
	// Error says why the newest table was refused; empty when it is in force.
	Error string    `json:"error,omitempty"`
	Time  time.Time `json:"time"`
}

// Fingerprint is the hexadecimal SHA-256 of a route table's bytes.
func Fingerprint(table []byte) string {
	sum := sha256.Sum256(table)
	return hex.EncodeToString(sum[:])
}
