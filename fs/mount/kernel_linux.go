package mount

import (
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// kernelCapabilities are what only Linux has.
const kernelCapabilities = fuse.CAP_HANDLE_KILLPRIV_V2 | fuse.CAP_NO_OPENDIR_SUPPORT | fuse.CAP_SETXATTR_EXT

// outsider says that an access control list is set by somebody who is not in the
// file's group.
func outsider(in *fuse.SetXAttrIn) bool {
	return in.SetXAttrFlags&fuse.SETXATTR_ACL_KILL_SGID != 0
}

// awaitMount has nothing to wait for: the mount stands and its INIT has been
// answered when the server has been made, and what is asked before it reads on
// waits in the kernel. WaitMount of the library would open a file in the mount
// and poll it, so that the kernel learns early that there is no polling. A
// daemon that asks itself cannot be killed meanwhile: the thread that asks waits
// for an answer that the others no longer give, and while it lives the device
// stays open. The library gives the same answer to whoever polls first.
func awaitMount(*fuse.Server) error { return nil }

const (
	openNoAtime = syscall.O_NOATIME // of an open file whose reads leave its time of access
	openDSync   = syscall.O_DSYNC   // of one whose changes are synced; O_SYNC has this bit, too
)

// flags are the options for mount(2).
func (o *Options) flags() (flags uintptr) {
	for _, f := range []struct {
		set  bool
		flag uintptr
	}{
		{o.ReadOnly, syscall.MS_RDONLY}, {!o.Suid, syscall.MS_NOSUID}, {!o.Dev, syscall.MS_NODEV},
		{o.NoExec, syscall.MS_NOEXEC}, {!o.Atime, syscall.MS_NOATIME}, {o.NoDirAtime, syscall.MS_NODIRATIME},
		{o.Sync, syscall.MS_SYNCHRONOUS}, {o.DirSync, syscall.MS_DIRSYNC},
	} {
		if f.set {
			flags |= f.flag
		}
	}
	if flags == 0 {
		flags = syscall.MS_MGC_VAL // zero would mean the default of the library
	}
	return flags
}

// detachDirectly takes a mount out of sight, which needs root.
func detachDirectly(dir string) error { return syscall.Unmount(dir, syscall.MNT_DETACH) }
