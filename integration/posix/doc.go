// Package posix holds what a folder must do: cases that use it by system calls
// and write down each answer. The test in package integration runs every case
// twice, in a folder of ext4, which is the truth, and in a mounted one, and
// compares what was written down.
//
// The model. A case is a function that works below its working directory, by
// relative names, and makes steps: a call and its result, both text. What must
// differ between any two filesystems is not in the text: inode and device
// numbers appear only as "same" or "other", times only as "now", "same" or what
// they were set to. What differs on purpose is in Differences, each step with
// its reason; a step that differs otherwise is a fault, and so is a difference
// that is no longer there.
//
// Everything happens in a process of its own (Main), for a process must never
// touch a mount that it serves; where a case needs a second process (locks), it
// starts the same program again (a peer).
//
// The traps.
//
//   - As root the folder is bound to itself in a namespace of mounts of the
//     process, without access times: how the disk of the truth is mounted must
//     not matter.
//   - Other users are threads that have given up their rights (T.as). They see
//     the working directory without having to get there: a test's folder is not
//     open for them.
//   - The runtime of Go interrupts system calls with signals of its own; every
//     call but those that are about signals is repeated (again).
package posix
