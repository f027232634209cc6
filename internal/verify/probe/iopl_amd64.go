package probe

import "golang.org/x/sys/unix"

// iopl asks for the right to use the processor's ports.
const iopl = unix.SYS_IOPL
