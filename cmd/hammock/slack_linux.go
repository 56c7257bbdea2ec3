package main

import (
	"os/exec"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// slack is how much later than asked for the kernel may wake a thread of a node. Go's scheduler has a thread that watches
// the others and sleeps for 20 µs at a time while they work, which with the kernel's own 50 µs of slack came to an eighth
// of the processor time of a peer that is read from. Whatever else a node waits for, it waits for in milliseconds.
const slack = 250 * time.Microsecond

// startUnhurried starts a process all of whose threads have that slack. A thread has it from the one that made it, and
// that one watcher is there before any code of ours runs: so it has to come from the parent.
func startUnhurried(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(slack), 0, 0, 0) == nil { // else it does without
		defer func() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) }() // as it was
	}
	return cmd.Start()
}
