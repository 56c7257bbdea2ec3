package volume

import (
	"context"
	"fmt"

	"github.com/hammockfs/hammock/fs/meta"
)

// The modes of Allocate, as in fallocate(2).
const (
	AllocKeepSize  uint32 = 0x01 // a range behind the end does not make the file longer
	AllocPunchHole uint32 = 0x02 // the range becomes a hole; only with AllocKeepSize
	AllocZeroRange uint32 = 0x10 // the range reads as zeros
)

// Allocate changes the space of [off, off+n) as fallocate(2) does. Any other mode,
// and the combinations that Linux refuses, are ErrNotSupported.
//
// Nothing is ever overwritten in place here, so there is no space that could be
// kept for one file: an allocation is refused with ErrNoSpace if the volume could
// not take as many bytes as the range has holes, makes the file longer, and holds
// nothing back. What was a hole stays one, for stat and SeekHole. Zeroing makes
// holes too.
func (f *File) Allocate(ctx context.Context, off, n int64, mode uint32) error {
	if err := f.v.writable(); err != nil {
		return err
	}
	if off < 0 || n <= 0 {
		return ErrInvalid
	}
	switch mode {
	case 0, AllocKeepSize, AllocPunchHole | AllocKeepSize, AllocZeroRange, AllocZeroRange | AllocKeepSize:
	default:
		return ErrNotSupported
	}
	lo, hi := uint64(off), uint64(off)+uint64(n)
	if hi > MaxSize {
		return ErrTooBig
	}
	f.in.mu.Lock()
	defer f.in.mu.Unlock()
	if err := f.v.allocate(ctx, f.in, lo, hi, mode); err != nil {
		return fmt.Errorf("change the space of %d bytes of inode %d at %d: %w", n, f.in.ino, off, err)
	}
	return nil
}

// allocate needs in.mu exclusively.
func (v *Volume) allocate(ctx context.Context, in *inode, lo, hi uint64, mode uint32) error {
	size := in.attr.Size
	if mode&AllocPunchHole == 0 {
		if err := v.roomFor(ctx, in, lo, hi); err != nil {
			return err
		}
	}
	err := v.killCaps(ctx, in)
	if err != nil {
		return err
	}
	switch {
	case mode&AllocPunchHole != 0 && hi >= size: // the last page goes whole
		err = v.erase(ctx, in, lo, pageUp(size))
	case mode&(AllocPunchHole|AllocZeroRange) != 0:
		err = v.erase(ctx, in, lo, min(hi, size))
	}
	if err != nil {
		return err
	}
	if mode&AllocKeepSize == 0 {
		in.lengthen(hi)
	}
	v.modified(in)
	return nil
}

// lengthen makes a file at least size bytes long. in.mu is held exclusively.
func (in *inode) lengthen(size uint64) {
	if size <= in.attr.Size {
		return
	}
	in.attr.Size = size
	if in.file.pending() == 0 {
		in.file.solid = size
	}
}

// modified notes a change of a file's bytes. in.mu is held exclusively.
func (v *Volume) modified(in *inode) {
	now := v.now()
	in.attr.Mtime, in.attr.Ctime = now, now
	in.changed = true
	v.markDirty(in)
}

// roomFor says whether the volume could take bytes for all holes in [lo, hi).
func (v *Volume) roomFor(ctx context.Context, in *inode, lo, hi uint64) error {
	free := v.Statfs(ctx).Free
	if hi-lo <= free {
		return nil
	}
	if err := v.loadPages(ctx, in); err != nil {
		return err
	}
	missing := pageUp(hi) - pageDown(lo)
	for w := lo / meta.Window; ; w++ {
		next, ok, err := v.windowFrom(ctx, in, w)
		if err != nil {
			return err
		}
		if w = next; !ok || w*meta.Window >= hi {
			break
		}
		b, err := v.present(ctx, in, w)
		if err != nil {
			return err
		}
		b.clip(lo, hi, w)
		missing -= uint64(b.count()) * meta.Page
	}
	if missing > free {
		return ErrNoSpace
	}
	return nil
}

// clip leaves only the pages that [lo, hi) touches in the w-th window.
func (b *pageBits) clip(lo, hi, w uint64) {
	base := w * meta.Window
	var in pageBits
	if lo, hi = max(lo, base), min(hi, base+meta.Window); lo < hi {
		in.setRange((lo-base)/meta.Page, (pageUp(hi)-base)/meta.Page)
	}
	for i := range b {
		b[i] &= in[i]
	}
}
