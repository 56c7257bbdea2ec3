package mount

import (
	"github.com/hanwen/go-fuse/v2/fuse"
)

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
func (s *Server) Link(cancel <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	req := s.patient(cancel, &in.InHeader)
	defer req.end()
	a, err := s.volume.Link(req, in.Oldnodeid, in.NodeId, name)
	return s.entry(out, &a, err, "link", in.NodeId)
}

// Unlink implements fuse.RawFileSystem.
func (s *Server) Unlink(cancel <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	req := s.patient(cancel, h)
	defer req.end()
	return s.status(s.volume.Unlink(req, h.NodeId, name), "unlink", h.NodeId)
}

// Rmdir implements fuse.RawFileSystem.
func (s *Server) Rmdir(cancel <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	req := s.patient(cancel, h)
	defer req.end()
	return s.status(s.volume.Rmdir(req, h.NodeId, name), "rmdir", h.NodeId)
}

// renameWhiteout is RENAME_WHITEOUT of renameat2(2), with which overlayfs moves
// what lies over something else.
const renameWhiteout = 4

// Rename implements fuse.RawFileSystem.
func (s *Server) Rename(cancel <-chan struct{}, in *fuse.RenameIn, oldName, newName string) fuse.Status {
	req := s.patient(cancel, &in.InHeader)
	defer req.end()
	var err error
	if in.Flags&renameWhiteout != 0 {
		err = s.volume.Whiteout(req, caller(&in.InHeader), in.NodeId, oldName, in.Newdir, newName, in.Flags&^renameWhiteout)
	} else {
		err = s.volume.Rename(req, in.NodeId, oldName, in.Newdir, newName, in.Flags)
	}
	return s.status(err, "rename", in.NodeId)
}
