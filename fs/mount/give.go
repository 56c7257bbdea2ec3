package mount

import (
	"sync"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/hammockfs/hammock/fs/volume"
)

const (
	// smallFile is up to how many bytes a file is given to the kernel when it is
	// opened for reading: as many as are sealed together.
	smallFile = 64 << 10
	// maxGiven is of how many inodes it is remembered that they were given.
	maxGiven = 1 << 17
)

var smallFiles = sync.Pool{New: func() any { return new([smallFile]byte) }}

// give lays the bytes of a small file, which has just been opened for reading
// only, into the kernel's memory before it knows that the file is open: whoever
// opens a small file reads it, and each request that he need not wait for is
// half of what that takes. What is not on this machine is left to the request.
//
// The kernel waits for pages that others work at, and some of those may wait
// for us. So it is done only if no other handle of the inode is there, and none
// comes meanwhile (files.add waits); and the file is locked, so that the bytes are
// not older than a truncation without a handle.
func (s *Server) give(f *volume.File) {
	if !s.gives || s.fuse == nil {
		return
	}
	u := s.files.beginGiving(f.Ino())
	if u == nil {
		return
	}
	buf := smallFiles.Get().(*[smallFile]byte)
	defer smallFiles.Put(buf)
	done := false
	defer func() { s.files.endGiving(f.Ino(), u, done) }()
	done = f.Offer(buf[:], func(p []byte) bool {
		return s.fuse.InodeNotifyStoreCache(f.Ino(), 0, p) == fuse.OK
	})
}

// beginGiving returns nil if the bytes of an inode cannot be given, or have been;
// else nobody opens it before endGiving.
func (t *files) beginGiving(ino uint64) *uses {
	t.mu.Lock()
	defer t.mu.Unlock()
	u := t.uses[ino]
	if u == nil || u.handles != 1 || t.given[ino] {
		return nil
	}
	u.giving = make(chan struct{})
	return u
}

func (t *files) endGiving(ino uint64, u *uses, given bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if given {
		if len(t.given) >= maxGiven {
			clear(t.given)
		}
		t.given[ino] = true
	}
	close(u.giving)
	u.giving = nil
}

// forget says that the kernel has nothing of an inode any more.
func (t *files) forget(ino uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.given, ino)
}
