package mount

import (
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// accessed is a server under relatime: what is read, listed or followed gets the
// time of that, if it is due (volume.Accessed has the rule). The kernel leaves
// this to the daemon for FUSE, and forgets the time that it knew after each
// request for data, a listing or a target. But what it has in its memory it does
// not ask for. So a file or directory whose time is due is opened without what
// the kernel remembers of it, and targets of symbolic links are not remembered
// at all. Where relatime was not asked for, none of this exists.
type accessed struct {
	fuse.RawFileSystem
	server *Server
	dirs   bool // directories too
}

// note notes an access that has succeeded. It could be made, so a failure to
// note it is no error of the access.
func (a *accessed) note(st fuse.Status, ino uint64, what string) {
	if st.Ok() {
		a.server.status(a.server.volume.Accessed(a.server.ctx, ino), what, ino)
	}
}

func (a *accessed) due(ino uint64) bool {
	due, err := a.server.volume.AccessDue(a.server.ctx, ino)
	return err == nil && due
}

func (a *accessed) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	st := a.RawFileSystem.Open(cancel, in, out)
	reads := in.Flags&syscall.O_ACCMODE != syscall.O_WRONLY && in.Flags&openNoAtime == 0
	if st.Ok() && reads && a.due(in.NodeId) {
		out.OpenFlags &^= fuse.FOPEN_KEEP_CACHE
	}
	return st
}

func (a *accessed) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	r, st := a.RawFileSystem.Read(cancel, in, buf)
	if in.Flags&openNoAtime == 0 {
		a.note(st, in.NodeId, "note the reading")
	}
	return r, st
}

func (a *accessed) Readlink(cancel <-chan struct{}, h *fuse.InHeader) ([]byte, fuse.Status) {
	target, st := a.RawFileSystem.Readlink(cancel, h)
	a.note(st, h.NodeId, "note the following")
	return target, st
}

// OpenDir lets the kernel keep a listing, as it does where it need not ask, and
// use it if the time of access is not due.
func (a *accessed) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	out.OpenFlags = fuse.FOPEN_CACHE_DIR
	if !a.dirs || in.Flags&openNoAtime != 0 || !a.due(in.NodeId) {
		out.OpenFlags |= fuse.FOPEN_KEEP_CACHE
	}
	return fuse.OK
}

func (a *accessed) ReadDir(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	st := a.RawFileSystem.ReadDir(cancel, in, out)
	a.noteDir(st, in)
	return st
}

func (a *accessed) ReadDirPlus(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	st := a.RawFileSystem.ReadDirPlus(cancel, in, out)
	a.noteDir(st, in)
	return st
}

func (a *accessed) noteDir(st fuse.Status, in *fuse.ReadIn) {
	if a.dirs && in.Flags&openNoAtime == 0 {
		a.note(st, in.NodeId, "note the listing")
	}
}
