//go:build !amd64

package probe

// iopl is amd64's alone; elsewhere there is no call of this number.
const iopl = 1 << 20
