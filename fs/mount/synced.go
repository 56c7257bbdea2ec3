package mount

import (
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// synced is a server under dirsync: a change of a directory is an fsync of it,
// too. With all, which is sync, so is every other change but write(2): that one
// the kernel follows with an FSYNC by itself.
type synced struct {
	fuse.RawFileSystem
	server *Server
	all    bool
}

// after syncs what was done under a directory or inode, unless it failed.
func (s *synced) after(st fuse.Status, ino uint64) fuse.Status {
	if !st.Ok() {
		return st
	}
	err := s.server.volume.FsyncDir(s.server.ctx, ino)
	if err == nil {
		err = s.server.syncPeers()
	}
	return s.server.status(err, "sync", ino)
}

func (s *synced) afterAll(st fuse.Status, ino uint64) fuse.Status {
	if !s.all {
		return st
	}
	return s.after(st, ino)
}

func (s *synced) Mknod(cancel <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	return s.after(s.RawFileSystem.Mknod(cancel, in, name, out), in.NodeId)
}

func (s *synced) Mkdir(cancel <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	return s.after(s.RawFileSystem.Mkdir(cancel, in, name, out), in.NodeId)
}

func (s *synced) Unlink(cancel <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return s.after(s.RawFileSystem.Unlink(cancel, h, name), h.NodeId)
}

func (s *synced) Rmdir(cancel <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return s.after(s.RawFileSystem.Rmdir(cancel, h, name), h.NodeId)
}

func (s *synced) Rename(cancel <-chan struct{}, in *fuse.RenameIn, oldName, newName string) fuse.Status {
	return s.after(s.RawFileSystem.Rename(cancel, in, oldName, newName), in.NodeId)
}

func (s *synced) Link(cancel <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	return s.after(s.RawFileSystem.Link(cancel, in, name, out), in.NodeId)
}

func (s *synced) Symlink(cancel <-chan struct{}, h *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	return s.after(s.RawFileSystem.Symlink(cancel, h, target, name, out), h.NodeId)
}

func (s *synced) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	return s.after(s.RawFileSystem.Create(cancel, in, name, out), in.NodeId)
}

func (s *synced) SetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	return s.afterAll(s.RawFileSystem.SetAttr(cancel, in, out), in.NodeId)
}

func (s *synced) SetXAttr(cancel <-chan struct{}, in *fuse.SetXAttrIn, name string, data []byte) fuse.Status {
	return s.afterAll(s.RawFileSystem.SetXAttr(cancel, in, name, data), in.NodeId)
}

func (s *synced) RemoveXAttr(cancel <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return s.afterAll(s.RawFileSystem.RemoveXAttr(cancel, h, name), h.NodeId)
}

// Fallocate changes a file as write(2) does, and leaves to record it for later.
func (s *synced) Fallocate(cancel <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	st := s.RawFileSystem.Fallocate(cancel, in)
	if s.all && st.Ok() {
		st = s.server.Fsync(cancel, &fuse.FsyncIn{InHeader: in.InHeader, Fh: in.Fh})
	}
	return st
}

// Open may have emptied the file.
func (s *synced) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	st := s.RawFileSystem.Open(cancel, in, out)
	if in.Flags&syscall.O_TRUNC == 0 {
		return st
	}
	return s.afterAll(st, in.NodeId)
}

// CopyFileRange commits what it copies only with the file, so it is the file
// that is synced.
func (s *synced) CopyFileRange(cancel <-chan struct{}, in *fuse.CopyFileRangeIn) (uint32, fuse.Status) {
	n, st := s.RawFileSystem.CopyFileRange(cancel, in)
	if s.all && st.Ok() {
		st = s.server.Fsync(cancel, &fuse.FsyncIn{InHeader: in.InHeader, Fh: in.FhOut})
	}
	return n, st
}
