package main

import (
	"fmt"
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
