package probe

import (
	"context"

	"golang.org/x/sys/unix"
)

// kernelKeys looks for keys of the host's user (keyrings(7)).
func kernelKeys(_ context.Context, b *bottle) Result {
	name := b.task.Mark + "-key"
	own, err := unix.AddKey("user", name+"-own", []byte("x"), unix.KEY_SPEC_PROCESS_KEYRING)
	if err != nil {
		// Nothing of keyrings can be reached at all.
		return held("add_key: %v", err).with("the host's user keyring held a key of this name, or the host has none")
	}
	if _, err := unix.KeyctlSearch(unix.KEY_SPEC_PROCESS_KEYRING, "user", name+"-own", 0); err != nil {
		return incomplete("the key %d that was made for the control is not found: %v", own, err)
	}
	for _, ring := range []int{unix.KEY_SPEC_USER_KEYRING, unix.KEY_SPEC_USER_SESSION_KEYRING, unix.KEY_SPEC_SESSION_KEYRING} {
		if id, err := unix.KeyctlSearch(ring, "user", name, 0); err == nil {
			return breach("the host's key %d is found in keyring %d", id, ring)
		}
	}
	return held("the host's key is in no keyring").with("a key of its own was found")
}
