package main

import (
	"fmt"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"
)

// noDumps keeps this process's memory out of files and away from debuggers of
// the same user. The limit alone does not do: the kernel does not heed it where
// dumps go to a program, as systemd's. Programs that this one starts can be
// dumped as ever, if they raise the limit, which they may. /proc/self stays
// readable for the process itself but for environ and mem.
func noDumps() {
	if err := noCores(); err != nil {
		fmt.Fprintln(os.Stderr, "hammock: core dumps could not be limited:", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, "hammock: this process can be dumped:", err)
	}
}

// lockMemory keeps the memory of this process, keys, their copies in ciphers and
// opened blocks alike, out of the swap, where that is permitted: to root, and to
// whoever has no limit of locked memory (LimitMEMLOCK=infinity). A page is locked
// when it is first touched, so this takes no more memory than the program does.
// Under a limit nothing is locked, for then the next allocation could be refused.
func lockMemory(log *slog.Logger) {
	err := unlimitLocks()
	if err == nil {
		err = unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT)
	}
	if err != nil {
		log.Info("memory is not locked, so that keys may get into the swap: have that encrypted, or permit it (LimitMEMLOCK=infinity)", "error", err)
	}
}

// unlimitLocks sees to it that no limit of locked memory holds for this process,
// or says why one does. The capability alone is as good as no limit.
func unlimitLocks() error {
	if mayLock() {
		return nil
	}
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &l); err != nil {
		return err
	}
	if l.Max != unix.RLIM_INFINITY {
		return fmt.Errorf("this user may lock %d bytes", l.Max)
	}
	l.Cur = l.Max
	return unix.Setrlimit(unix.RLIMIT_MEMLOCK, &l)
}

// mayLock says whether this process has the capability to lock what it likes.
func mayLock() bool {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData // of 32 capabilities each
	err := unix.Capget(&head, &data[0])
	return err == nil && data[unix.CAP_IPC_LOCK/32].Effective&(1<<(unix.CAP_IPC_LOCK%32)) != 0
}
