package blueprint

import (
	"time"

	"github.com/podbottle/podbottle/internal/pipelock"
	"github.com/podbottle/podbottle/internal/provider"
	"github.com/podbottle/podbottle/internal/secret"
)

// Options are what a bottle needs besides its plan: choices of the moment, and
// the secrets that were looked up for it.
type Options struct {
	Images Images
	// SidecarProgram is the host path of the sidecars' program, for the agent's handover.
	// It is a bind mount because runsc knows no image mounts.
	SidecarProgram string
	Firewall       pipelock.Engine
	// FirewallBinary is a host path of pipelock that is mounted into the sidecar image;
	// empty when Images.Firewall has its own.
	FirewallBinary string
	Runsc          bool
	// Argv is the agent's command line.
	Argv []string
	// Terminal gives the agent a terminal; otherwise its output is two streams.
	Terminal bool
	// Term is the value of TERM for the agent's terminal.
	Term    string
	Limits  Limits
	Secrets Secrets
	// Roots are the host's CA certificates, PEM, for the firewall.
	Roots []byte
	// ExtraCA are further CA certificates, PEM, of BOT_BOTTLE_EXTRA_CA_CERTS.
	ExtraCA []byte
	// StateDir is the bottle's directory in the state tree; the sidecars' data lies below it.
	StateDir string
	// Home holds files for the agent's home, beside the provider's.
	Home []provider.File
	// Hosts are further names that the sidecars know.
	Hosts []Host
	// SSHAuthSock is the host's agent socket for git-gate; empty for none.
	SSHAuthSock string
}

// Images are the names of the images that the containers run.
type Images struct {
	Sidecar  string
	GitGate  string // empty without remotes
	Firewall string // empty for the built-in engine
}

// Limits bound the agent. Zero is no limit.
type Limits struct {
	Memory   int64 // bytes
	Tasks    int64
	CPUQuota time.Duration // CPU time a second
}

// KeyPair is a certificate and its private key, both PEM.
type KeyPair struct {
	Cert []byte
	Key  secret.Value
}

// Secrets are the values that the sidecars hold.
type Secrets struct {
	EgressCA   KeyPair
	FirewallCA KeyPair
	// Tokens maps a slot, EGRESS_TOKEN_n, to its value.
	Tokens map[string]secret.Value
	// Identities maps an upstream's name to its private key.
	Identities map[string]secret.Value
}
