//go:build unix

package main

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// harden prepares the process; see harden.go.
func harden() {
	unix.Umask(wide)
	noDumps()
}

// noCores sets the size of core dumps to nothing, as far as the process itself
// decides it.
func noCores() error {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &l); err != nil {
		return err
	}
	l.Cur = 0
	return unix.Setrlimit(unix.RLIMIT_CORE, &l)
}

// ownedHere refuses a folder that is another user's: its owner could change
// below us what we rely on. Root may use any.
func ownedHere(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("look at the state folder: %w", err)
	}
	sys, ok := info.Sys().(*syscall.Stat_t)
	if uid := os.Geteuid(); ok && uid != 0 && int(sys.Uid) != uid {
		return fmt.Errorf("the state folder %s belongs to another user (%d): give this one a --state of your own", dir, sys.Uid)
	}
	return nil
}
