//go:build !windows

package main

import "golang.org/x/sys/unix"

// descriptors is how many files this process may have open.
func descriptors() int {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 256 // the least that any of the systems gives
	}
	return int(min(uint64(l.Cur), 1<<20))
}
