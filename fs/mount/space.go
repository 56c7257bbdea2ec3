package mount

import (
	"context"
	"errors"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/hammockfs/hammock/fs/volume"
)

// What lseek(2) asks for, beyond what the kernel answers itself.
const (
	seekData = 3
	seekHole = 4
)

// maxCopy is how many bytes one request copies at most; the caller is told and
// asks again. No request then takes long, and the answer has 32 bits.
const maxCopy = 1 << 30

// Fallocate implements fuse.RawFileSystem.
func (s *Server) Fallocate(cancel <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	req := s.patient(cancel, &in.InHeader)
	defer req.end()
	f := s.files.get(in.Fh)
	if f == nil {
		return fuse.EBADF
	}
	if err := f.Allocate(req, int64(in.Offset), int64(in.Length), in.Mode); err != nil {
		return s.status(err, "fallocate", in.NodeId)
	}
	killPriv(f, &in.InHeader)
	return s.afterChange(req, f, "fallocate")
}

// afterChange syncs a file that was opened to be synced. The kernel leaves it to
// us for what is no write.
func (s *Server) afterChange(ctx context.Context, f *handle, op string) fuse.Status {
	if !f.synced() {
		return fuse.OK
	}
	return s.status(s.sync(ctx, f), op, f.Ino())
}

// killPriv takes the set-ID bits of a file that somebody unprivileged changed. The
// kernel, which says so with a write, leaves it to us to find out for these
// requests: root is taken to be who may keep them.
func killPriv(f *handle, caller *fuse.InHeader) {
	if caller.Uid != 0 {
		f.KillPriv()
	}
}

// CopyFileRange implements fuse.RawFileSystem. The kernel has sent us all pages of
// both files that were written to, and drops those of the target afterwards.
func (s *Server) CopyFileRange(cancel <-chan struct{}, in *fuse.CopyFileRangeIn) (uint32, fuse.Status) {
	req := s.patient(cancel, &in.InHeader)
	defer req.end()
	src, dst := s.files.get(in.FhIn), s.files.get(in.FhOut)
	if src == nil || dst == nil {
		return 0, fuse.EBADF
	}
	if in.Flags != 0 {
		return 0, fuse.EINVAL
	}
	n, err := src.CopyRange(req, int64(in.OffIn), dst.File, int64(in.OffOut), int64(min(in.Len, maxCopy)))
	if err != nil {
		return 0, s.status(err, "copy_file_range", in.NodeId)
	}
	if n == 0 {
		return 0, fuse.OK
	}
	killPriv(dst, &in.InHeader)
	return uint32(n), s.afterChange(req, dst, "copy_file_range")
}

// Lseek implements fuse.RawFileSystem. Where there is a hole here, a mapping may
// have written to pages that the kernel has not sent yet, and a program that
// copies would pass over them. So before a hole is believed, the kernel is told to
// give up the pages that it has there, which sends them first. Holes themselves
// are hardly worth keeping in its memory. A file that nobody has open for writing
// has no such pages.
func (s *Server) Lseek(cancel <-chan struct{}, in *fuse.LseekIn, out *fuse.LseekOut) fuse.Status {
	f := s.files.get(in.Fh)
	if f == nil {
		return fuse.EBADF
	}
	req := s.request(cancel, &in.InHeader)
	defer req.end()
	var at int64
	var err error
	switch in.Whence {
	case seekData:
		at, err = s.seekData(req, f, int64(in.Offset))
	case seekHole:
		at, err = s.seekHole(req, f, int64(in.Offset))
	default:
		return fuse.EINVAL
	}
	out.Offset = uint64(at)
	return s.status(err, "lseek", in.NodeId)
}

func (s *Server) seekData(ctx context.Context, f *handle, off int64) (int64, error) {
	at, err := f.SeekData(ctx, off)
	if off < 0 || err == nil && at == off || err != nil && !errors.Is(err, volume.ErrNoData) {
		return at, err
	}
	s.giveUp(f.Ino(), off, at) // at is zero if nothing but holes follow
	return f.SeekData(ctx, off)
}

func (s *Server) seekHole(ctx context.Context, f *handle, off int64) (int64, error) {
	hole := int64(-1)
	for {
		at, err := f.SeekHole(ctx, off)
		if off < 0 || err == nil && at == hole || err != nil && !errors.Is(err, volume.ErrNoData) {
			return at, err
		}
		if err != nil { // the kernel may know of a larger size
			s.giveUp(f.Ino(), off, 0)
			return f.SeekHole(ctx, off)
		}
		end, _ := f.SeekData(ctx, at)
		s.giveUp(f.Ino(), at, end)
		hole = at
	}
}

// giveUp lets the kernel send and drop its pages of [from, to) of a file; to its
// end if to is zero. It must not be called while the kernel holds pages of the
// file locked for us: an lseek holds none. Whoever kills the daemon just while it
// waits for such pages leaves it waiting for itself (umount -f ends that), so it
// does not where there can be none.
func (s *Server) giveUp(ino uint64, from, to int64) {
	if s.fuse == nil || !s.files.written(ino) {
		return
	}
	// That the kernel knows no such file, or no such notice, leaves nothing to do.
	_ = s.fuse.InodeNotify(ino, from, max(0, to-from))
}
