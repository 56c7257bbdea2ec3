package mount

import (
	"strings"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// kept reports whether attributes of this name are kept. The names that begin
// with "system." have a meaning for the kernel that nobody here would honour.
func kept(name string) bool {
	return strings.HasPrefix(name, "user.") || strings.HasPrefix(name, "trusted.") || strings.HasPrefix(name, "security.")
}

// GetXAttr implements fuse.RawFileSystem.
func (s *Server) GetXAttr(cancel <-chan struct{}, h *fuse.InHeader, name string, dest []byte) (uint32, fuse.Status) {
	if !kept(name) {
		return 0, fuse.Status(syscall.EOPNOTSUPP)
	}
	req := s.request(cancel, h)
	defer req.end()
	v, err := s.volume.GetXattr(req, h.NodeId, name)
	if err != nil {
		return 0, s.status(err, "getxattr", h.NodeId)
	}
	return answer(dest, v)
}

// answer copies a value to where the kernel wants it. Without room it gets the
// length and ERANGE, which counts as success when it asked for the length only.
func answer(dest, v []byte) (uint32, fuse.Status) {
	if len(dest) < len(v) {
		return uint32(len(v)), fuse.ERANGE
	}
	return uint32(copy(dest, v)), fuse.OK
}

// ListXAttr implements fuse.RawFileSystem.
func (s *Server) ListXAttr(cancel <-chan struct{}, h *fuse.InHeader, dest []byte) (uint32, fuse.Status) {
	req := s.request(cancel, h)
	defer req.end()
	names, err := s.volume.ListXattr(req, h.NodeId)
	if err != nil {
		return 0, s.status(err, "listxattr", h.NodeId)
	}
	var list []byte
	for _, name := range names {
		list = append(append(list, name...), 0)
	}
	return answer(dest, list)
}

// SetXAttr implements fuse.RawFileSystem.
func (s *Server) SetXAttr(_ <-chan struct{}, in *fuse.SetXAttrIn, name string, data []byte) fuse.Status {
	if !kept(name) {
		return fuse.Status(syscall.EOPNOTSUPP)
	}
	err := s.volume.SetXattr(s.ctx, in.NodeId, name, data, int(in.Flags))
	return s.status(err, "setxattr", in.NodeId)
}

// RemoveXAttr implements fuse.RawFileSystem.
func (s *Server) RemoveXAttr(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	if !kept(name) {
		return fuse.Status(syscall.EOPNOTSUPP)
	}
	return s.status(s.volume.RemoveXattr(s.ctx, h.NodeId, name), "removexattr", h.NodeId)
}
