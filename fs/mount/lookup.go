package mount

import (
	"errors"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/hammockfs/hammock/fs/volume"
)

// Lookup implements fuse.RawFileSystem. A name that does not exist is an answer
// too, which the kernel remembers.
func (s *Server) Lookup(cancel <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	req := s.request(cancel, h)
	defer req.end()
	a, err := s.volume.Lookup(req, h.NodeId, name)
	if err == nil {
		fillEntry(out, &a)
		return fuse.OK
	}
	st := s.status(err, "lookup", h.NodeId)
	if st == fuse.ENOENT && errors.Is(err, volume.ErrNotExist) {
		out.NodeId = 0
		out.SetEntryTimeout(believe)
		return fuse.OK
	}
	return st
}

// Forget implements fuse.RawFileSystem. The volume counts no references, so
// their number does not matter.
func (s *Server) Forget(ino, _ uint64) {
	s.files.forget(ino)
	s.volume.Forget(ino)
}
