package mount

import (
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/hammockfs/hammock/fs/volume"
)

// caller is who asks.
func caller(h *fuse.InHeader) volume.Caller { return volume.Caller{UID: h.Uid, GID: h.Gid} }

// entry answers a request that made a name.
func (s *Server) entry(out *fuse.EntryOut, a *volume.Attr, err error, op string, dir uint64) fuse.Status {
	if err != nil {
		return s.status(err, op, dir)
	}
	fillEntry(out, a)
	return fuse.OK
}

// Mknod implements fuse.RawFileSystem.
func (s *Server) Mknod(_ <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	a, err := s.volume.Mknod(s.ctx, caller(&in.InHeader), in.NodeId, name, in.Mode&^in.Umask, in.Rdev)
	return s.entry(out, &a, err, "mknod", in.NodeId)
}

// Mkdir implements fuse.RawFileSystem.
func (s *Server) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	a, err := s.volume.Mkdir(s.ctx, caller(&in.InHeader), in.NodeId, name, in.Mode&^in.Umask)
	return s.entry(out, &a, err, "mkdir", in.NodeId)
}

// Symlink implements fuse.RawFileSystem.
func (s *Server) Symlink(_ <-chan struct{}, h *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	a, err := s.volume.Symlink(s.ctx, caller(h), h.NodeId, name, target)
	return s.entry(out, &a, err, "symlink", h.NodeId)
}

// Readlink implements fuse.RawFileSystem.
func (s *Server) Readlink(cancel <-chan struct{}, h *fuse.InHeader) ([]byte, fuse.Status) {
	req := s.request(cancel, h)
	defer req.end()
	target, err := s.volume.Readlink(req, h.NodeId)
	if err != nil {
		return nil, s.status(err, "readlink", h.NodeId)
	}
	return []byte(target), fuse.OK
}

// Link implements fuse.RawFileSystem.
func (s *Server) Link(_ <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	a, err := s.volume.Link(s.ctx, in.Oldnodeid, in.NodeId, name)
	return s.entry(out, &a, err, "link", in.NodeId)
}

// Unlink implements fuse.RawFileSystem.
func (s *Server) Unlink(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return s.status(s.volume.Unlink(s.ctx, h.NodeId, name), "unlink", h.NodeId)
}

// Rmdir implements fuse.RawFileSystem.
func (s *Server) Rmdir(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return s.status(s.volume.Rmdir(s.ctx, h.NodeId, name), "rmdir", h.NodeId)
}

// Rename implements fuse.RawFileSystem.
func (s *Server) Rename(_ <-chan struct{}, in *fuse.RenameIn, oldName, newName string) fuse.Status {
	err := s.volume.Rename(s.ctx, in.NodeId, oldName, in.Newdir, newName, in.Flags)
	return s.status(err, "rename", in.NodeId)
}
