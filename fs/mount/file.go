package mount

import (
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/hammockfs/hammock/fs/volume"
)

// files is the table of open files, by the handle that the kernel has. Handles
// are never used twice.
type files struct {
	mu      sync.RWMutex
	open    map[uint64]*volume.File
	writing map[uint64]uint64 // handles that may write -> inode
	last    uint64
}

func (t *files) add(f *volume.File) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	t.open[t.last] = f
	return t.last
}

// writes notes that a handle may write.
func (t *files) writes(fh, ino uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.writing == nil {
		t.writing = map[uint64]uint64{}
	}
	t.writing[fh] = ino
}

// written says whether any handle of an inode may write. The kernel gives up a
// handle when the last mapping through it has gone, and its pages were sent.
func (t *files) written(ino uint64) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, other := range t.writing {
		if other == ino {
			return true
		}
	}
	return false
}

func (t *files) get(fh uint64) *volume.File {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.open[fh]
}

func (t *files) remove(fh uint64) *volume.File {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.open[fh]
	delete(t.open, fh)
	delete(t.writing, fh)
	return f
}

// drain empties the table and returns what was in it.
func (t *files) drain() (list []*volume.File) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for fh, f := range t.open {
		list = append(list, f)
		delete(t.open, fh)
	}
	return list
}

// Open implements fuse.RawFileSystem.
func (s *Server) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	f, err := s.volume.Open(s.ctx, in.NodeId, in.Flags&syscall.O_TRUNC != 0)
	if err != nil {
		return s.status(err, "open", in.NodeId)
	}
	if in.Mode&fuse.OPEN_KILL_SUIDGID != 0 {
		f.KillPriv()
	}
	s.opened(f, in.Flags, out)
	return fuse.OK
}

// opened answers a request that opened f. Who only reads has nothing to flush.
func (s *Server) opened(f *volume.File, flags uint32, out *fuse.OpenOut) {
	out.Fh = s.files.add(f)
	out.OpenFlags = fuse.FOPEN_KEEP_CACHE
	if flags&syscall.O_ACCMODE == syscall.O_RDONLY {
		out.OpenFlags |= fuse.FOPEN_NOFLUSH
		return
	}
	s.files.writes(out.Fh, f.Ino())
}

// Read implements fuse.RawFileSystem.
func (s *Server) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	f := s.files.get(in.Fh)
	if f == nil {
		return nil, fuse.EBADF
	}
	req := s.request(cancel, &in.InHeader)
	defer req.end()
	n, err := f.Read(req, buf[:min(len(buf), int(in.Size))], int64(in.Offset))
	if err != nil {
		return nil, s.status(err, "read", in.NodeId)
	}
	return fuse.ReadResultData(buf[:n]), fuse.OK
}

// Write implements fuse.RawFileSystem.
func (s *Server) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	f := s.files.get(in.Fh)
	if f == nil {
		return 0, fuse.EBADF
	}
	n, err := f.Write(s.ctx, data, int64(in.Offset))
	if err != nil {
		return 0, s.status(err, "write", in.NodeId)
	}
	if in.WriteFlags&fuse.WRITE_KILL_SUIDGID != 0 {
		f.KillPriv()
	}
	return uint32(n), fuse.OK
}

// Flush implements fuse.RawFileSystem: it is close(2).
func (s *Server) Flush(_ <-chan struct{}, in *fuse.FlushIn) fuse.Status {
	f := s.files.get(in.Fh)
	if f == nil {
		return fuse.EBADF
	}
	return s.status(f.Flush(s.ctx), "flush", in.NodeId)
}

// Fsync implements fuse.RawFileSystem. fdatasync(2) is the same: a size or a
// mapping that changed is in the same journal as the rest.
func (s *Server) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	f := s.files.get(in.Fh)
	if f == nil {
		return fuse.EBADF
	}
	err := f.Fsync(s.ctx)
	if err == nil {
		err = s.syncPeers()
	}
	return s.status(err, "fsync", in.NodeId)
}

// syncPeers is the rest of an fsync under sync=peers.
func (s *Server) syncPeers() error {
	if s.peers == nil {
		return nil
	}
	return s.peers(s.ctx)
}

// Release implements fuse.RawFileSystem. Nobody hears of an error, but the log:
// what it commits came from a mapping after close(2).
func (s *Server) Release(_ <-chan struct{}, in *fuse.ReleaseIn) {
	if f := s.files.remove(in.Fh); f != nil {
		s.status(f.Release(s.ctx), "release", in.NodeId)
	}
}
