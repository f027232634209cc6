package supervise

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

func lockThread() { runtime.LockOSThread() }

// setFilesystemUser changes the uid and gid that the calling thread has towards files.
func setFilesystemUser(id int) error {
	if err := unix.Setfsgid(id); err != nil {
		return err
	}
	if err := unix.Setfsuid(id); err != nil {
		return err
	}
	if got, err := unix.SetfsuidRetUid(id); err != nil || got != id {
		return fmt.Errorf("filesystem uid is %d, want %d: %v", got, id, err)
	}
	return nil
}
