package mount

import (
	"context"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/hammockfs/hammock/fs/volume"
)

// handle is an open file, with the flags that it was opened with.
type handle struct {
	*volume.File
	flags uint32
}

func (h *handle) writes() bool { return h.flags&syscall.O_ACCMODE != syscall.O_RDONLY }

// synced says whether each change through the handle is an fsync, too. After a
// write(2) the kernel sees to that.
func (h *handle) synced() bool { return h.flags&openDSync != 0 }

// files is the table of open files, by the handle that the kernel has. Handles
// are never used twice.
type files struct {
	mu    sync.RWMutex
	open  map[uint64]*handle
	uses  map[uint64]*uses // of each inode that is open
	given map[uint64]bool  // inodes whose bytes the kernel has; see give
	last  uint64
}

// uses is how an inode is open.
type uses struct {
	handles, writers int
	giving           chan struct{} // closed when its bytes have been given; nil if they are not just now
}

func newFiles() files {
	return files{open: map[uint64]*handle{}, uses: map[uint64]*uses{}, given: map[uint64]bool{}}
}

// add makes a handle. It waits while the bytes of the inode are given to the
// kernel: nobody may use it then.
func (t *files) add(f *volume.File, flags uint32) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	for u := t.uses[f.Ino()]; u != nil && u.giving != nil; u = t.uses[f.Ino()] {
		giving := u.giving
		t.mu.Unlock()
		<-giving
		t.mu.Lock()
	}
	t.last++
	h := &handle{f, flags}
	t.open[t.last] = h
	u := t.uses[f.Ino()]
	if u == nil {
		u = &uses{}
		t.uses[f.Ino()] = u
	}
	u.handles++
	if h.writes() {
		u.writers++
	}
	return t.last
}

// written says whether any handle of an inode may write. The kernel gives up a
// handle when the last mapping through it has gone, and its pages were sent.
func (t *files) written(ino uint64) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	u := t.uses[ino]
	return u != nil && u.writers > 0
}

func (t *files) get(fh uint64) *handle {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.open[fh]
}

func (t *files) remove(fh uint64) *handle {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.open[fh]
	if h == nil {
		return nil
	}
	delete(t.open, fh)
	u := t.uses[h.Ino()]
	if u.handles--; u.handles == 0 {
		delete(t.uses, h.Ino())
	}
	if h.writes() {
		u.writers--
		delete(t.given, h.Ino()) // what was written may not be in its memory
	}
	return h
}

// drain empties the table and returns what was in it.
func (t *files) drain() (list []*handle) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, h := range t.open {
		list = append(list, h)
	}
	clear(t.open)
	clear(t.uses)
	return list
}

// Open implements fuse.RawFileSystem.
func (s *Server) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	req := s.patient(cancel, &in.InHeader)
	defer req.end()
	f, err := s.volume.Open(req, in.NodeId, in.Flags&syscall.O_TRUNC != 0)
	if err != nil {
		return s.status(err, "open", in.NodeId)
	}
	if in.Mode&fuse.OPEN_KILL_SUIDGID != 0 {
		f.KillPriv()
	}
	s.opened(f, in.Flags, out)
	if in.Flags&syscall.O_ACCMODE == syscall.O_RDONLY {
		s.give(f)
	}
	return fuse.OK
}

// opened answers a request that opened f.
func (s *Server) opened(f *volume.File, flags uint32, out *fuse.OpenOut) {
	out.Fh = s.files.add(f, flags)
	out.OpenFlags = openFlags(flags)
}

// openFlags tells the kernel how to treat a file that is opened with flags. Who
// only reads has nothing to flush. What is only written goes to the daemon
// straight from the program's memory, where the kernel need not do more after
// each write.
func openFlags(flags uint32) uint32 {
	const synced = syscall.O_SYNC | syscall.O_DSYNC
	switch {
	case flags&syscall.O_ACCMODE == syscall.O_RDONLY:
		return fuse.FOPEN_KEEP_CACHE | fuse.FOPEN_NOFLUSH
	case flags&syscall.O_ACCMODE == syscall.O_WRONLY && flags&synced == 0:
		return fuse.FOPEN_KEEP_CACHE | fuse.FOPEN_DIRECT_IO
	}
	return fuse.FOPEN_KEEP_CACHE
}

// Read implements fuse.RawFileSystem.
func (s *Server) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	f := s.files.get(in.Fh)
	if f == nil {
		return nil, fuse.EBADF
	}
	if s.late.again(in) {
		return nil, fuse.EIO
	}
	req := s.request(cancel, &in.InHeader)
	req.crowd = &s.crowd
	defer req.end()
	n, err := f.Read(req, buf[:min(len(buf), int(in.Size))], int64(in.Offset))
	if err != nil {
		st := s.status(err, "read", in.NodeId)
		if st == fuse.EIO && (req.Err() != nil || !time.Now().Before(req.until)) {
			s.late.note(in)
		}
		return nil, st
	}
	return inPlace(buf[:n]), fuse.OK
}

// inPlace are the bytes of a read that lie where the library wanted them. Its own
// kind of result is copied once more where requests come through queues.
type inPlace []byte

// Size implements fuse.ReadResult.
func (p inPlace) Size() int { return len(p) }

// Done implements fuse.ReadResult.
func (p inPlace) Done() {}

// Bytes implements fuse.ReadResult.
func (p inPlace) Bytes([]byte) ([]byte, fuse.Status) { return p, fuse.OK }

// Readv is called with the place of the answer.
func (p inPlace) Readv(dst [][]byte) (int, fuse.Status) {
	if len(dst) > 0 && unsafe.SliceData(dst[0]) == unsafe.SliceData(p) {
		return len(p), fuse.OK
	}
	n := 0
	for _, d := range dst {
		n += copy(d, p[n:])
	}
	return n, fuse.OK
}

// Write implements fuse.RawFileSystem.
func (s *Server) Write(cancel <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	req := s.patient(cancel, &in.InHeader)
	defer req.end()
	f := s.files.get(in.Fh)
	if f == nil {
		return 0, fuse.EBADF
	}
	n, err := f.Write(req, data, int64(in.Offset))
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
	return s.status(f.Flush(s.lasting()), "flush", in.NodeId)
}

// Fsync implements fuse.RawFileSystem. fdatasync(2) is the same: a size or a
// mapping that changed is in the same journal as the rest.
func (s *Server) Fsync(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	req := s.patient(cancel, &in.InHeader)
	defer req.end()
	f := s.files.get(in.Fh)
	if f == nil {
		return fuse.EBADF
	}
	return s.status(s.sync(req, f), "fsync", in.NodeId)
}

// sync is fsync(2) of a file.
func (s *Server) sync(ctx context.Context, f *handle) error {
	if err := f.Fsync(s.lasting()); err != nil {
		return err
	}
	return s.syncPeers(ctx)
}

// syncPeers is the rest of an fsync under sync=peers. It may take for ever, but
// whoever waits can be killed.
func (s *Server) syncPeers(ctx context.Context) error {
	if s.peers == nil {
		return nil
	}
	return s.peers(ctx)
}

// Release implements fuse.RawFileSystem. Nobody hears of an error, but the log:
// what it commits came from a mapping after close(2).
func (s *Server) Release(_ <-chan struct{}, in *fuse.ReleaseIn) {
	if f := s.files.remove(in.Fh); f != nil {
		s.status(f.Release(s.lasting()), "release", in.NodeId)
	}
}
