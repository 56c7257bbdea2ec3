//go:build linux

package posix

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// as has a thread that is another user, without any privilege, do something.
// The thread ends with it: its rights would not come back.
func (t *T) as(uid, gid int, groups []int, do func()) {
	failed := make(chan any, 1)
	before := t.who
	t.who = fmt.Sprintf("[%d] ", uid)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends
		defer func() { failed <- recover() }()
		t.must(become(uid, gid, groups))
		do()
	}()
	v := <-failed
	t.who = before
	if v != nil {
		panic(v)
	}
}

// become makes this thread alone another user; the calls of package syscall
// would do it to all threads.
func become(uid, gid int, groups []int) error {
	list := make([]uint32, len(groups)+1)
	for i, g := range groups {
		list[i] = uint32(g)
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(&list[0])), 0); e != 0 {
		return fmt.Errorf("set groups: %w", e)
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)); e != 0 {
		return fmt.Errorf("become group %d: %w", gid, e)
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); e != 0 {
		return fmt.Errorf("become user %d: %w", uid, e)
	}
	return nil
}
