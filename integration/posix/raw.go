//go:build linux

package posix

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ptrTo is a name for a system call that package unix does not have.
func ptrTo(name string) unsafe.Pointer {
	p, err := unix.BytePtrFromString(name)
	if err != nil {
		panic(failure{err})
	}
	return unsafe.Pointer(p)
}

// errnoOrNil is what a raw system call failed with.
func errnoOrNil(no syscall.Errno) error {
	if no == 0 {
		return nil
	}
	return no
}
