package probe

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Keyring is where verify put a key for kernel.keys to look for (keyrings(7)).
type Keyring struct {
	ID  int    `json:"id"`  // serial number of the keyring of this machine's user
	Key string `json:"key"` // description of the key in it, which is of the type user
}

// kernelKeys looks for a key of this machine's user: in the keyrings that a process
// names without knowing their numbers, and in the user's own by its number. A command
// beside the agent inherits the session keyring of Podman's service, to which that one
// is linked. Numbers are small, the same in every namespace, and can be tried out; root
// in a rootless container is the user, to whom the kernel gives all rights.
func kernelKeys(_ context.Context, b *bottle) Result {
	runtime.LockOSThread() // a process's keyring is its thread's, in truth
	defer runtime.UnlockOSThread()
	name := b.task.Mark
	if b.task.Keyring != nil {
		name = b.task.Keyring.Key
	}
	own, err := ownKey(name + "-own")
	if err != nil {
		return incomplete("%v", err)
	}
	var found, refused []string
	try := func(what string, err error) {
		if err == nil {
			found = append(found, what)
			return
		}
		refused = append(refused, what+": "+err.Error())
	}
	for what, ring := range map[string]int{
		"session keyring": unix.KEY_SPEC_SESSION_KEYRING, "user keyring": unix.KEY_SPEC_USER_KEYRING, "user session keyring": unix.KEY_SPEC_USER_SESSION_KEYRING,
	} {
		_, err := unix.KeyctlSearch(ring, "user", name, 0)
		try(what, err)
	}
	if host := b.task.Keyring; host != nil {
		_, err := unix.KeyctlInt(unix.KEYCTL_LINK, host.ID, unix.KEY_SPEC_PROCESS_KEYRING, 0, 0)
		try("link by number", err)
		own = "the key is there; " + own
	}
	slices.Sort(found)
	slices.Sort(refused)
	if len(found) > 0 {
		return breach("the key of this machine's user is reached: %s", strings.Join(found, ", "))
	}
	return held("%s", strings.Join(refused, "; ")).with("%s", own)
}

// ownKey makes a key and finds it again, unless keyrings cannot be used at all.
func ownKey(name string) (seen string, err error) {
	if _, err := unix.AddKey("user", name, []byte("x"), unix.KEY_SPEC_PROCESS_KEYRING); err != nil {
		return fmt.Sprintf("no key of its own can be made: %v", err), nil
	}
	if _, err := unix.KeyctlSearch(unix.KEY_SPEC_PROCESS_KEYRING, "user", name, 0); err != nil {
		return "", fmt.Errorf("the key that was made for the control is not found: %w", err)
	}
	return "a key of its own is found", nil
}
