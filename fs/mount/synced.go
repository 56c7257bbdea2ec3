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
func (s *synced) after(cancel <-chan struct{}, h *fuse.InHeader, st fuse.Status) fuse.Status {
	if !st.Ok() {
		return st
	}
	req := s.server.patient(cancel, h)
	defer req.end()
	err := s.server.volume.FsyncDir(req, h.NodeId)
	if err == nil {
		err = s.server.syncPeers(req)
	}
	return s.server.status(err, "sync", h.NodeId)
}

func (s *synced) afterAll(cancel <-chan struct{}, h *fuse.InHeader, st fuse.Status) fuse.Status {
	if !s.all {
		return st
	}
	return s.after(cancel, h, st)
}

func (s *synced) Mknod(cancel <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	return s.after(cancel, &in.InHeader, s.RawFileSystem.Mknod(cancel, in, name, out))
}

func (s *synced) Mkdir(cancel <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	return s.after(cancel, &in.InHeader, s.RawFileSystem.Mkdir(cancel, in, name, out))
}

func (s *synced) Unlink(cancel <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return s.after(cancel, h, s.RawFileSystem.Unlink(cancel, h, name))
}

func (s *synced) Rmdir(cancel <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return s.after(cancel, h, s.RawFileSystem.Rmdir(cancel, h, name))
}

func (s *synced) Rename(cancel <-chan struct{}, in *fuse.RenameIn, oldName, newName string) fuse.Status {
	return s.after(cancel, &in.InHeader, s.RawFileSystem.Rename(cancel, in, oldName, newName))
}

func (s *synced) Link(cancel <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	return s.after(cancel, &in.InHeader, s.RawFileSystem.Link(cancel, in, name, out))
}

func (s *synced) Symlink(cancel <-chan struct{}, h *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	return s.after(cancel, h, s.RawFileSystem.Symlink(cancel, h, target, name, out))
}

func (s *synced) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	return s.after(cancel, &in.InHeader, s.RawFileSystem.Create(cancel, in, name, out))
}

func (s *synced) SetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	return s.afterAll(cancel, &in.InHeader, s.RawFileSystem.SetAttr(cancel, in, out))
}

func (s *synced) SetXAttr(cancel <-chan struct{}, in *fuse.SetXAttrIn, name string, data []byte) fuse.Status {
	return s.afterAll(cancel, &in.InHeader, s.RawFileSystem.SetXAttr(cancel, in, name, data))
}

func (s *synced) RemoveXAttr(cancel <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return s.afterAll(cancel, h, s.RawFileSystem.RemoveXAttr(cancel, h, name))
}

// Fallocate changes a file as write(2) does, and leaves to record it for later.
func (s *synced) Fallocate(cancel <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	st := s.RawFileSystem.Fallocate(cancel, in)
	if s.all && st.Ok() {
		st = s.server.Fsync(cancel, &fuse.FsyncIn{InHeader: in.InHeader, Fh: in.Fh})
	}
	return st
}

// Open may have emptied the file, where the kernel does not do that by itself.
func (s *synced) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	st := s.RawFileSystem.Open(cancel, in, out)
	if in.Flags&syscall.O_TRUNC == 0 {
		return st
	}
	return s.afterAll(cancel, &in.InHeader, st)
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
