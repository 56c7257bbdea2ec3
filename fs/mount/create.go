package mount

import (
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/hammockfs/hammock/fs/volume"
)

// caller is who asks.
func caller(h *fuse.InHeader) volume.Caller { return volume.Caller{UID: h.Uid, GID: h.Gid} }

// maker is who asks for a new inode.
func maker(h *fuse.InHeader, umask uint32) volume.Caller {
	c := caller(h)
	c.Umask = umask
	return c
}

// entry answers a request that made a name.
func (s *Server) entry(out *fuse.EntryOut, a *volume.Attr, err error, op string, dir uint64) fuse.Status {
	if err != nil {
		return s.status(err, op, dir)
	}
	fillEntry(out, a)
	return fuse.OK
}

// created answers a request that made a regular file and opened it.
func (s *Server) created(in *fuse.CreateIn, out *fuse.CreateOut, a *volume.Attr, f *volume.File, err error, op string) fuse.Status {
	if err != nil {
		return s.status(err, op, in.NodeId)
	}
	fillEntry(&out.EntryOut, a)
	s.opened(f, in.Flags, &out.OpenOut)
	return fuse.OK
}

// Create implements fuse.RawFileSystem.
func (s *Server) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	req := s.patient(cancel, &in.InHeader)
	defer req.end()
	a, f, err := s.volume.Create(req, maker(&in.InHeader, in.Umask), in.NodeId, name, in.Mode)
	return s.created(in, out, &a, f, err, "create")
}

// Tmpfile implements fuse.RawFileSystem: open(2) with O_TMPFILE.
func (s *Server) Tmpfile(cancel <-chan struct{}, in *fuse.CreateIn, out *fuse.CreateOut) fuse.Status {
	req := s.patient(cancel, &in.InHeader)
	defer req.end()
	a, f, err := s.volume.Tmpfile(req, maker(&in.InHeader, in.Umask), in.NodeId, in.Mode)
	return s.created(in, out, &a, f, err, "tmpfile")
}

// Mknod implements fuse.RawFileSystem.
func (s *Server) Mknod(cancel <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	req := s.patient(cancel, &in.InHeader)
	defer req.end()
	a, err := s.volume.Mknod(req, maker(&in.InHeader, in.Umask), in.NodeId, name, in.Mode, in.Rdev)
	return s.entry(out, &a, err, "mknod", in.NodeId)
}

// Mkdir implements fuse.RawFileSystem.
func (s *Server) Mkdir(cancel <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	req := s.patient(cancel, &in.InHeader)
	defer req.end()
	a, err := s.volume.Mkdir(req, maker(&in.InHeader, in.Umask), in.NodeId, name, in.Mode)
	return s.entry(out, &a, err, "mkdir", in.NodeId)
}

// Symlink implements fuse.RawFileSystem.
func (s *Server) Symlink(cancel <-chan struct{}, h *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	req := s.patient(cancel, h)
	defer req.end()
	a, err := s.volume.Symlink(req, caller(h), h.NodeId, name, target)
	return s.entry(out, &a, err, "symlink", h.NodeId)
}
