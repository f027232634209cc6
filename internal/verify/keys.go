package verify

import (
	"golang.org/x/sys/unix"

	"github.com/podbottle/podbottle/internal/verify/probe"
)

// keyTime is how long the kernel keeps a key that verify could not remove, in seconds.
const keyTime = 600

// keyName describes the run's key.
func (r *run) keyName() string { return r.mark + "-key" }

// hostKey is a key in the keyring of this machine's user, for the agent not to find.
type hostKey struct{ id, ring int }

// plantKey puts the key there; nil where the kernel has no keyrings, or a sandbox
// around podbottle refuses them.
func plantKey(name, secret string) *hostKey {
	ring, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_USER_KEYRING, true)
	if err != nil {
		return nil
	}
	id, err := unix.AddKey("user", name, []byte(secret), ring)
	if err != nil {
		return nil
	}
	_, _ = unix.KeyctlInt(unix.KEYCTL_SET_TIMEOUT, id, keyTime, 0, 0)
	return &hostKey{id, ring}
}

func (k *hostKey) remove() {
	if k != nil {
		_, _ = unix.KeyctlInt(unix.KEYCTL_UNLINK, k.id, k.ring, 0, 0)
	}
}

// keyring is what the agent is told of the key: what it could find out by trying.
func (k *hostKey) keyring(name string) *probe.Keyring {
	if k == nil {
		return nil
	}
	return &probe.Keyring{ID: k.ring, Key: name}
}
